import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import {
  chmod,
  mkdir,
  open,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BatchWriteError, FileUploadError } from "../errors.js";
import { RealAgent } from "../testing/real-agent.js";

let agent: RealAgent;
let local: string;
let remote: string;
beforeAll(async () => {
  agent = await RealAgent.start();
});
afterAll(() => agent[Symbol.asyncDispose]());
let count = 0;
beforeEach(async () => {
  local = join(agent.folder, `local-${count}`);
  remote = join(agent.folder, `remote-${count++}`);
  await mkdir(local);
  agent.admit = () => true;
  agent.onAnswer = () => undefined;
  agent.calls.length = 0;
});

const here = (...parts: string[]) => join(local, ...parts);
const there = (...parts: string[]) => join(remote, ...parts);
const hex = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

/** Everything below a folder, as tar sees it: names, kinds, modes, times, contents. */
function digestTree(folder: string): string {
  const script =
    "find . -printf '%p\\0%y\\0%#m\\0%Ts\\0%l\\0\\n' | sort; find . -type f -print0 | sort -z | xargs -0r sha256sum -z";
  return execFileSync("sh", ["-c", script], { cwd: folder }).toString("latin1");
}

async function makeTree(folder: string): Promise<void> {
  await mkdir(join(folder, "a/b/empty"), { recursive: true });
  await writeFile(join(folder, "a/file"), "content");
  await chmod(join(folder, "a/file"), 0o751);
  await writeFile(join(folder, "a/large"), randomBytes(3_000_000));
  await writeFile(join(folder, "new\nline"), "");
  await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x80, 0xff])]), "odd");
  await writeFile(
    Buffer.concat([Buffer.from(`${folder}/a/`), Buffer.from([0xfe])]),
    randomBytes(600_000),
  );
  await symlink("../nowhere", join(folder, "a/b/link"));
  for (let i = 0; i < 700; i++) await writeFile(join(folder, "a/b", `small ${i}`), `${i}`);
  await utimes(join(folder, "a/file"), 1_000_000, 1_000_000);
  await chmod(join(folder, "a/b/empty"), 0o711);
  await utimes(join(folder, "a/b"), 2_000_000, 2_000_000);
}

/** Bytes of a part. */
const MIB = 1 << 20;

/** Options of an upload whose connection is lost for good once so much has arrived. */
function interruptAt(bytes: number) {
  let begun = 0;
  const arrived = Promise.withResolvers<void>();
  // Parts go side by side: those beyond wait until the ones before them are told to have arrived.
  agent.admit = (method) =>
    method !== "UploadPart" || begun++ * MIB < bytes || arrived.promise.then(() => false);
  return {
    requestTimeoutMs: 700,
    onProgress: (progress: { bytes: number }) => {
      if (progress.bytes >= bytes) arrived.resolve();
    },
  };
}

describe("uploadFile", () => {
  test("brings content, permissions and time, checked, and tells how far it is", async () => {
    const data = randomBytes(5_500_000);
    await writeFile(here("file"), data, { mode: 0o640 });
    await utimes(here("file"), 1_000_000, 1_000_000);
    const progress: number[] = [];
    const result = await agent.files.uploadFile(here("file"), there("sub/file"), {
      onProgress: ({ bytes, totalBytes }) => {
        expect(totalBytes).toBe(data.length);
        progress.push(bytes);
      },
    });
    expect(result).toMatchObject({ bytes: data.length, sha256: hex(data), info: { mode: 0o640 } });
    expect(progress.at(-1)).toBe(data.length);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    expect(await readFile(there("sub/file"))).toEqual(data);
    expect((await stat(there("sub/file"))).mtimeMs).toBe(1_000_000_000);
  });

  test("an empty file, and one that is replaced", async () => {
    await writeFile(here("file"), "");
    await agent.files.uploadFile(here("file"), there("file"));
    await writeFile(here("file"), "more");
    await agent.files.uploadFile(here("file"), there("file"));
    expect(await readFile(there("file"), "utf8")).toBe("more");
  });

  test("a connection that breaks again and again is waited out", async () => {
    const data = randomBytes(6_000_000);
    await writeFile(here("file"), data);
    let parts = 0;
    agent.admit = (method) => method !== "UploadPart" || ++parts % 3 !== 0;
    const { sha256 } = await agent.files.uploadFile(here("file"), there("file"));
    expect(parts).toBeGreaterThan(6);
    expect(sha256).toBe(hex(await readFile(there("file"))));
  });

  test("one that was interrupted is gone on with: only the rest is sent", async () => {
    const data = randomBytes(6_000_000);
    await writeFile(here("file"), data);
    const interrupted = agent.files.uploadFile(here("file"), there("file"), interruptAt(2_000_000));
    const error: unknown = await interrupted.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FileUploadError);
    const uploadId = error instanceof FileUploadError ? error.uploadId : "";
    expect(existsSync(there("file"))).toBe(false);
    agent.admit = () => true;
    agent.calls.length = 0;
    const { sha256 } = await agent.files.uploadFile(here("file"), there("file"), { uploadId });
    expect(sha256).toBe(hex(await readFile(there("file"))));
    // Parts of the first call may still have been on their way.
    const calls = agent.calls.slice(agent.calls.indexOf("GetUpload"));
    expect(calls.filter((method) => method === "UploadPart")).toHaveLength(4);
    expect(readdirSync(remote)).toEqual(["file"]);
  });

  test("a source that has changed meanwhile is not put together from two halves", async () => {
    await writeFile(here("file"), randomBytes(6_000_000));
    const options = { idempotencyKey: "same" };
    const interrupted = { ...options, ...interruptAt(2_000_000) };
    await expect(agent.files.uploadFile(here("file"), there("file"), interrupted)).rejects.toThrow(
      FileUploadError,
    );
    agent.admit = () => true;
    await writeFile(here("file"), randomBytes(6_000_000));
    await expect(
      agent.files.uploadFile(here("file"), there("file"), options),
    ).rejects.toMatchObject({ reason: "CHECKSUM_MISMATCH", retryable: true });
    expect(readdirSync(remote)).toEqual([]);
    await agent.files.uploadFile(here("file"), there("file"), options);
    expect(await readFile(there("file"))).toEqual(await readFile(here("file")));
  });

  test("a cancelled one leaves nothing", async () => {
    await writeFile(here("file"), randomBytes(6_000_000));
    const caller = new AbortController();
    const upload = agent.files.uploadFile(here("file"), there("file"), {
      signal: caller.signal,
      onProgress: () => caller.abort(),
    });
    await expect(upload).rejects.toMatchObject({ name: "CancelledError" });
    await expect.poll(() => readdirSync(remote)).toEqual([]);
    await expect(agent.files.uploadFile(local, there("x"))).rejects.toThrow(/no plain file/);
  });

  test("memory stays flat, up and down", async () => {
    const size = 192 << 20;
    const file = await open(here("file"), "w");
    // A hole: only the bytes on their way cost memory.
    await file.truncate(size);
    await file.close();
    const before = process.memoryUsage.rss();
    let most = 0;
    const onProgress = () => {
      most = Math.max(most, process.memoryUsage.rss() - before);
    };
    await agent.files.uploadFile(here("file"), there("file"), { onProgress });
    await agent.files.downloadFile(there("file"), here("back"), { onProgress });
    expect((await stat(here("back"))).size).toBe(size);
    // Client, server and agent share this process.
    expect(most).toBeLessThan(150 << 20);
    await rm(there("file"));
  }, 60_000);
});

describe("downloadFile", () => {
  test("brings content, permissions and time", async () => {
    await mkdir(remote);
    const data = randomBytes(9_500_000);
    await writeFile(there("file"), data);
    await chmod(there("file"), 0o4751);
    await utimes(there("file"), 1_000_000, 1_000_000);
    const result = await agent.files.downloadFile(there("file"), here("sub/file"));
    expect(result).toMatchObject({ bytes: data.length, resumedAt: 0 });
    expect(await readFile(here("sub/file"))).toEqual(data);
    const stats = await stat(here("sub/file"));
    expect([stats.mode & 0o7777, stats.mtimeMs]).toEqual([0o751, 1_000_000_000]);
    expect(readdirSync(here("sub"))).toEqual(["file"]);
    await writeFile(there("empty"), "");
    await agent.files.downloadFile(there("empty"), here("empty"));
    expect((await stat(here("empty"))).size).toBe(0);
  });

  test("goes on wherever the connection is cut", async () => {
    await mkdir(remote);
    const data = randomBytes(12_000_000);
    await writeFile(there("file"), data);
    let cuts = 0;
    let bytes = 0;
    let next = 1;
    agent.onAnswer = (_, length) => {
      bytes += length;
      if (bytes < next || cuts === 6) return;
      cuts++;
      next = bytes + 1_777_777;
      agent.cut();
    };
    await agent.files.downloadFile(there("file"), here("file"));
    expect(cuts).toBe(6);
    expect(hex(await readFile(here("file")))).toBe(hex(data));
  });

  test("a call that was ended is gone on with by the next one", async () => {
    await mkdir(remote);
    const data = randomBytes(12_000_000);
    await writeFile(there("file"), data);
    const caller = new AbortController();
    const onProgress = () => caller.abort();
    const first = agent.files.downloadFile(there("file"), here("file"), {
      signal: caller.signal,
      onProgress,
    });
    await expect(first).rejects.toMatchObject({ name: "CancelledError" });
    expect(existsSync(here("file"))).toBe(false);
    const { resumedAt } = await agent.files.downloadFile(there("file"), here("file"));
    expect(resumedAt).toBeGreaterThan(3_000_000);
    expect(await readFile(here("file"))).toEqual(data);
    expect(readdirSync(local)).toEqual(["file"]);
  });

  test("a file that is another after a cut is an error, not a mixture", async () => {
    await mkdir(remote);
    await writeFile(there("file"), randomBytes(12_000_000));
    let received = 0;
    agent.onAnswer = (_, length) => {
      received += length;
      if (received < 5_000_000 || received - length >= 5_000_000) return;
      agent.admit = () => {
        execFileSync("truncate", ["-s", "11000000", there("file")]);
        agent.admit = () => true;
        return true;
      };
      agent.cut();
    };
    await expect(agent.files.downloadFile(there("file"), here("file"))).rejects.toMatchObject({
      reason: "FILE_CHANGED",
      retryable: true,
    });
    expect(readdirSync(local)).toEqual([]);
    await expect(agent.files.downloadFile(there("none"), here("x"))).rejects.toMatchObject({
      reason: "FILE_NOT_FOUND",
    });
  });
});

describe("folders", () => {
  test("come back as they went: links, modes, times, empty folders, any name", async () => {
    await makeTree(here("tree"));
    const up = await agent.files.uploadDir(here("tree"), there("tree"));
    expect(up).toMatchObject({ files: 705, directories: 3, links: 1, skipped: [] });
    const sums = (folder: string) => digestTree(folder).split("\n").slice(1).join("\n");
    expect(sums(there("tree"))).toBe(sums(here("tree")));
    const down = await agent.files.downloadDir(there("tree"), here("back"));
    expect(down).toEqual(up);
    expect(sums(here("back"))).toBe(sums(here("tree")));
    // Small files travel together, not each by itself.
    expect(agent.calls.length).toBeLessThan(40);
    await agent.files.uploadDir(here("tree"), there("tree"));
    await agent.files.downloadDir(there("tree"), here("back"));
    expect(sums(here("back"))).toBe(sums(here("tree")));
  });

  test("go on wherever the connection is cut, both ways", async () => {
    await makeTree(here("tree"));
    let calls = 0;
    agent.admit = () => ++calls % 5 !== 0;
    await agent.files.uploadDir(here("tree"), there("tree"));
    let bytes = 0;
    let cuts = 0;
    agent.admit = () => true;
    agent.onAnswer = (_, length) => {
      bytes += length;
      if (bytes < 300_000 || cuts === 8) return;
      bytes = 0;
      cuts++;
      agent.cut();
    };
    await agent.files.downloadDir(there("tree"), here("back"));
    expect(cuts).toBe(8);
    const contents = (folder: string) => digestTree(folder).split("\n").slice(1).join("\n");
    expect(contents(here("back"))).toBe(contents(here("tree")));
  });

  test("leave out what the filter says, and tell what they cannot carry", async () => {
    await mkdir(here("tree/node_modules/x"), { recursive: true });
    await writeFile(here("tree/node_modules/x/y"), "");
    await writeFile(here("tree/a"), "");
    execFileSync("mkfifo", [here("tree/pipe")]);
    const filter = ({ path }: { path: string }) => path !== "node_modules";
    const up = await agent.files.uploadDir(here("tree"), there("tree"), { filter });
    expect(up).toMatchObject({ files: 1, directories: 0, skipped: ["pipe"] });
    expect(readdirSync(there("tree"))).toEqual(["a"]);
    const down = await agent.files.downloadDir(here("tree"), here("back"), { filter });
    expect(down).toMatchObject({ files: 1, directories: 0, skipped: ["pipe"] });
    expect(readdirSync(here("back"))).toEqual(["a"]);
  });

  test("name what could not be written, when all the rest was", async () => {
    await mkdir(there("tree/blocked"), { recursive: true });
    await mkdir(here("tree"));
    for (const name of ["a", "blocked", "z"]) await writeFile(here("tree", name), name);
    const error: unknown = await agent.files
      .uploadDir(here("tree"), there("tree"))
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(BatchWriteError);
    expect(error).toMatchObject({ failures: [{ path: "blocked" }] });
    expect(readdirSync(there("tree"))).toEqual(["a", "blocked", "z"]);
    await expect(agent.files.downloadDir(there("none"), here("x"))).rejects.toMatchObject({
      reason: "FILE_NOT_FOUND",
    });
  });

  test("a link that lies where a folder comes leads nowhere", async () => {
    await mkdir(there("tree/way"), { recursive: true });
    await writeFile(there("tree/way/file"), "x");
    await mkdir(here("back"));
    await mkdir(here("elsewhere"));
    await symlink(here("elsewhere"), here("back/way"));
    await expect(agent.files.downloadDir(there("tree"), here("back"))).rejects.toThrow(/EEXIST/);
    expect(readdirSync(here("elsewhere"))).toEqual([]);
  });
});
