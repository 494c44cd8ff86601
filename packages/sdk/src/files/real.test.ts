import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, stat, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FileService, ProcessService } from "@nullspace/proto/agent";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BatchWriteError } from "../errors.js";
import { RealAgent } from "../testing/real-agent.js";
import type { FileEvent } from "./options.js";

let agent: RealAgent;
let folder: string;
beforeAll(async () => {
  agent = await RealAgent.start();
});
afterAll(() => agent[Symbol.asyncDispose]());
let count = 0;
beforeEach(async () => {
  folder = join(agent.folder, `files-${count++}`);
  await mkdir(folder);
  agent.admit = () => true;
  agent.onAnswer = () => undefined;
  agent.calls.length = 0;
});
const at = (...parts: string[]) => join(folder, ...parts);

describe("several files", () => {
  test("are written together", async () => {
    const files = Array.from({ length: 30 }, (_, i) => ({
      path: at(`d${i % 3}/f${i}`),
      content: `${i}`,
    }));
    const infos = await agent.files.writeFiles(files, { mode: 0o600 });
    expect(infos.map(({ name }) => name)).toEqual(files.map((_, i) => `f${i}`));
    expect(infos.every(({ mode }) => mode === 0o600)).toBe(true);
    expect(await readFile(at("d2/f29"), "utf8")).toBe("29");
  });

  test("that fail in part are named, each with its reason; the others are there", async () => {
    await mkdir(at("folder"));
    const write = agent.files.writeFiles([
      { path: at("a"), content: "a" },
      { path: at("folder"), content: "x" },
      { path: "/workspace/.nullspace/x", content: "x" },
      { path: at("b"), content: "b" },
    ]);
    const error: unknown = await write.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BatchWriteError);
    if (!(error instanceof BatchWriteError)) return;
    expect(error.successes.toSorted()).toEqual([at("a"), at("b")]);
    expect(error.failures.toSorted((a, b) => (a.path < b.path ? -1 : 1))).toMatchObject([
      { path: at("folder"), error: { reason: "IS_DIRECTORY" } },
      { path: "/workspace/.nullspace/x", error: { reason: "RESERVED_PATH" } },
    ]);
    expect(await readFile(at("b"), "utf8")).toBe("b");
  });
});

test("copy, setPermissions and setOwner", async () => {
  await agent.files.write(at("tree/sub/file"), "x", { mode: 0o640 });
  await symlink("file", at("tree/sub/link"));
  await agent.files.copy(at("tree"), at("copy"));
  const entries = await agent.files.list(at("copy"), { depth: 3 });
  expect(
    entries.map(({ path, mode, type }) => [path.slice(folder.length), mode, type]),
  ).toMatchObject([
    ["/copy/sub", 0o755, "directory"],
    ["/copy/sub/file", 0o640, "file"],
    ["/copy/sub/link", 0o777, "symlink"],
  ]);
  await expect(agent.files.copy(at("tree"), at("copy"))).rejects.toMatchObject({
    reason: "FILE_EXISTS",
  });
  await expect(agent.files.copy(at("tree"), at("tree/sub/inside"))).rejects.toMatchObject({
    reason: "INVALID_ARGUMENT",
  });
  expect((await agent.files.setPermissions(at("copy"), 0o700)).mode).toBe(0o700);
  await agent.files.setPermissions(at("copy"), 0o500, { recursive: true });
  expect((await stat(at("copy/sub/file"))).mode & 0o777).toBe(0o500);
  expect((await stat(at("tree/sub/file"))).mode & 0o777).toBe(0o640);
  await expect(agent.files.setPermissions(at("none"), 0o600)).rejects.toMatchObject({
    reason: "FILE_NOT_FOUND",
  });
  await expect(agent.files.setPermissions(at("copy"), 0o77777)).rejects.toMatchObject({
    name: "InvalidArgumentError",
  });
  await expect(agent.files.setOwner(at("copy"), "nemo")).rejects.toMatchObject({
    name: "InvalidArgumentError",
  });
});

test.runIf(process.getuid?.() === 0)("owners by name and number, all the way down", async () => {
  await agent.files.write(at("tree/sub/file"), "x");
  await agent.files.setOwner(at("tree"), "nobody", { recursive: true });
  expect((await agent.files.info(at("tree/sub/file"))).owner).toBe("nobody");
  await agent.files.setOwner(at("tree"), "12345", { group: "daemon" });
  expect(await agent.files.info(at("tree"))).toMatchObject({ owner: "12345", group: "daemon" });
});

test("find, search and replace", async () => {
  await agent.files.writeFiles([
    { path: at("src/a.ts"), content: "const grüße = 1;\n// TODO: grüße TODO\n" },
    { path: at("src/deep/b.js"), content: "TODO" },
  ]);
  const { entries, truncated } = await agent.files.find(folder, "*.{ts,js}", { type: "file" });
  expect(entries.map(({ name }) => name)).toEqual(["a.ts", "b.js"]);
  expect(truncated).toBe(false);
  const found = await agent.files.search("TODO", { path: folder, globs: ["*.ts"] });
  expect(found).toMatchObject({ truncated: false, skippedLines: 0 });
  const [match] = found.matches;
  expect(match).toMatchObject({ path: at("src/a.ts"), lineNumber: 2, line: "// TODO: grüße TODO" });
  expect(match?.ranges.map(({ start, end }) => match.line.slice(start, end))).toEqual([
    "TODO",
    "TODO",
  ]);
  const planned = await agent.files.replace("TODO", "done", { path: folder, dryRun: true });
  expect(planned.replacements).toBe(3);
  expect(await agent.files.read(at("src/deep/b.js"))).toBe("TODO");
  expect(await agent.files.replace("TODO", "done", { path: folder })).toEqual(planned);
  expect(await agent.files.read(at("src/deep/b.js"))).toBe("done");
  await expect(agent.files.search("(", { path: folder, regex: true })).rejects.toMatchObject({
    name: "InvalidArgumentError",
    reason: "INVALID_PATTERN",
  });
});

describe("watch", () => {
  async function until(events: AsyncIterable<FileEvent>, last: (event: FileEvent) => boolean) {
    const seen: FileEvent[] = [];
    for await (const event of events) {
      seen.push(event);
      if (last(event)) break;
    }
    return seen;
  }
  const isAt = (path: string, type: FileEvent["type"]) => (event: FileEvent) =>
    event.type === type && "path" in event && event.path === path;

  test("is an iterable of what happens", async () => {
    await using watch = agent.files.watch(folder, { recursive: true });
    await watch.ready;
    const events = watch[Symbol.asyncIterator]();
    await mkdir(at("sub"));
    const first = (await events.next()).value;
    expect(first).toEqual({ type: "created", path: at("sub"), isDirectory: true });
    await writeFile(at("sub/a"), "");
    await rename(at("sub/a"), at("b"));
    await unlink(at("b"));
    const seen = await until(events, isAt(at("b"), "removed"));
    expect(seen).toContainEqual({ type: "created", path: at("sub/a"), isDirectory: false });
    expect(seen).toContainEqual({
      type: "renamed",
      oldPath: at("sub/a"),
      path: at("b"),
      isDirectory: false,
    });
  });

  test("says that it may have missed something when its connection was lost, and goes on", async () => {
    await using watch = agent.files.watch(folder);
    await watch.ready;
    agent.cut();
    const events = watch[Symbol.asyncIterator]();
    expect((await events.next()).value).toEqual({ type: "resyncRequired" });
    await writeFile(at("later"), "");
    expect((await events.next()).value).toMatchObject({ type: "created", path: at("later") });
  });

  test("ends by its signal, by close, and by failing", async () => {
    const caller = new AbortController();
    const watch = agent.files.watch(folder, caller);
    await watch.ready;
    const loop = until(watch, () => false);
    caller.abort();
    await expect(loop).rejects.toMatchObject({ name: "CancelledError" });
    const other = agent.files.watch(folder);
    await other.ready;
    await other.close();
    expect(await until(other, () => false)).toEqual([]);
    const none = agent.files.watch(at("none"));
    await expect(none.ready).rejects.toMatchObject({ reason: "FILE_NOT_FOUND" });
    await expect(until(none, () => false)).rejects.toMatchObject({ reason: "FILE_NOT_FOUND" });
  });
});

describe("reading over a connection that breaks", () => {
  test("goes on at the byte where it broke, in every format", async () => {
    const data = randomBytes(7_000_000);
    await writeFile(at("file"), data);
    let bytes = 0;
    agent.onAnswer = (_, length) => {
      bytes += length;
      if (bytes < 1_300_000) return;
      bytes = 0;
      agent.cut();
    };
    expect(await agent.files.read(at("file"), { format: "bytes" })).toEqual(new Uint8Array(data));
    const range = { format: "bytes", offset: 1_000_000, length: 5_000_000 } as const;
    const part = await agent.files.read(at("file"), range);
    expect(Buffer.compare(part, data.subarray(1_000_000, 6_000_000))).toBe(0);
    expect(agent.calls.length).toBeGreaterThan(6);
  });

  test("never hangs: the deadline is for all of it", async () => {
    await writeFile(at("file"), randomBytes(3_000_000));
    let isDown = false;
    agent.admit = () => !isDown;
    agent.onAnswer = () => {
      isDown = true;
      agent.cut();
    };
    const read = agent.files.read(at("file"), { format: "bytes", requestTimeoutMs: 1500 });
    await expect(read).rejects.toMatchObject({ retryable: true });
  });
});

describe("commands over a connection that breaks", () => {
  test("run on, and no byte is lost or doubled", async () => {
    let bytes = 0;
    let cuts = 0;
    agent.onAnswer = (_, length) => {
      bytes += length;
      if (bytes < 400_000 || cuts === 5) return;
      bytes = 0;
      cuts++;
      agent.cut();
    };
    const { stdout, exitCode, droppedBytes } = await agent.commands.run("seq 1 400000; exit 3", {
      cwd: "/",
    });
    expect(cuts).toBe(5);
    const expected = Array.from({ length: 400_000 }, (_, i) => `${i + 1}\n`).join("");
    expect(stdout === expected).toBe(true);
    expect([exitCode, droppedBytes]).toEqual([3, 0]);
  });

  test("one in the background outlives its client, and is found with all it wrote", async () => {
    const handle = await agent.commands.run(
      "for i in 1 2 3; do echo $i; sleep 0.1; done; kill -9 $$",
      {
        background: true,
        cwd: "/",
      },
    );
    agent.cut();
    const again = await agent.commands.connect(handle.pid);
    const texts: string[] = [];
    for await (const { text } of again) texts.push(text);
    expect(texts.join("")).toBe("1\n2\n3\n");
    expect(await again.wait()).toMatchObject({ signal: "SIGKILL", exitCode: 137 });
    expect(await again.getLogs()).toMatchObject({ output: "1\n2\n3\n", exitCode: 137 });
  });

  test("a quick one is a single call", async () => {
    await agent.commands.run("true", { cwd: "/" });
    agent.calls.length = 0;
    expect((await agent.commands.run("true", { cwd: "/" })).ok).toBe(true);
    expect(agent.calls).toEqual(["Start"]);
  });

  test("one that says nothing ends the call at its deadline", async () => {
    const run = agent.commands.run("sleep 100", { cwd: "/", requestTimeoutMs: 300 });
    await expect(run).rejects.toMatchObject({ name: "TimeoutError", retryable: true });
  });
});

test("nothing needs a request that streams: all of it works over fetch", () => {
  const methods = [FileService, ProcessService].flatMap((service) => service.methods);
  const streaming = methods.filter(({ methodKind }) => /client|bidi/.test(methodKind));
  expect(streaming).toEqual([]);
});
