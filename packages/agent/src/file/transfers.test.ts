import { createHash, randomBytes } from "node:crypto";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import {
  chmod,
  lstat,
  mkdir,
  readFile,
  readlink,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@nullspace/proto";
import {
  FileType,
  type TreeEntry,
  type TreeEntrySchema,
  UPLOAD_BLOCK_BYTES,
} from "@nullspace/proto/agent";
import { array, assert, asyncProperty, boolean, constantFrom, integer, tuple } from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import type { Host } from "../testing/dial.js";
import { reasonOf } from "../testing/output.js";
import { ArrivalHash } from "./arrival-hash.js";
import { BlockHashes } from "./block-hashes.js";
import { treeChecksum } from "./tree-entry.js";

type Entry = MessageInitShape<typeof TreeEntrySchema>;

let agent: TestAgent;
let host: Host;
let folder: string;

beforeAll(async () => {
  agent = await startTestAgent();
  host = await agent.dial();
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
});
let count = 0;
beforeEach(async () => {
  folder = join(agent.folder, `transfers-${count++}`);
  await mkdir(folder);
});

const at = (...parts: string[]) => join(folder, ...parts);
const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest();
function blocksSha256(file: Buffer): Buffer {
  const hashes: Buffer[] = [];
  for (let at = 0; at < file.length; at += UPLOAD_BLOCK_BYTES) {
    hashes.push(sha256(file.subarray(at, at + UPLOAD_BLOCK_BYTES)));
  }
  return sha256(Buffer.concat(hashes));
}
const bytes = (text: string) => Buffer.from(text, "latin1");

describe("uploads", () => {
  const data = randomBytes(3_000_000);

  test("are gone on with: what has arrived is told, and beginning again by a key finds it", async () => {
    const begin = () =>
      host.file.beginUpload({ path: at("big"), idempotencyKey: "k1", blockChecksum: true });
    const { uploadId } = await begin();
    await host.file.uploadPart({ uploadId, offset: 0n, data: data.subarray(0, 1_000_000) });
    await host.file.uploadPart({ uploadId, offset: 2_000_000n, data: data.subarray(2_000_000) });
    expect((await begin()).uploadId).toBe(uploadId);
    const { received } = await host.file.getUpload({ uploadId });
    expect(received.map(({ start, end }) => [Number(start), Number(end)])).toEqual([
      [0, 1_000_000],
      [2_000_000, 3_000_000],
    ]);
    await host.file.uploadPart({
      uploadId,
      offset: 1_000_000n,
      data: data.subarray(1_000_000, 2_000_000),
    });
    const commit = () =>
      host.file.commitUpload({
        uploadId,
        size: BigInt(data.length),
        blocksSha256: blocksSha256(data),
      });
    const answer = await commit();
    expect(await commit()).toEqual(answer);
    expect(await readFile(at("big"))).toEqual(data);
    expect(readdirSync(folder)).toEqual(["big"]);
  });

  test.each([
    ["", { sha256: sha256(data) }],
    [" of blocks", { blocksSha256: blocksSha256(data) }],
  ])("with another checksum%s are not put in place, and leave nothing", async (_, other) => {
    for (const announced of [{}, { checksum: true, blockChecksum: true }]) {
      const { uploadId } = await host.file.beginUpload({ path: at("big"), ...announced });
      await host.file.uploadPart({ uploadId, data: data.subarray(0, 1000) });
      const commit = host.file.commitUpload({ uploadId, size: 1000n, ...other });
      expect(await reasonOf(commit)).toBe(ErrorReason.CHECKSUM_MISMATCH);
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  test("keep time and permissions where they are told to, below a folder of any name", async () => {
    const below = Buffer.concat([bytes("sub\nfolder/"), Buffer.from([0xff, 0x61])]);
    const modifiedAt = timestampFromMs(1_000_000_000_123);
    const options = { mode: 0o4710, replaceMode: true, modifiedAt };
    for (const content of ["one", "two"]) {
      const { uploadId } = await host.file.beginUpload({ path: folder, below, ...options });
      await host.file.uploadPart({ uploadId, data: Buffer.from(content) });
      await host.file.commitUpload({ uploadId, size: 3n });
    }
    const file = Buffer.concat([Buffer.from(`${folder}/`), below]);
    expect(await readFile(file, "utf8")).toBe("two");
    const stats = await stat(file);
    expect(stats.mode & 0o7777).toBe(0o4710);
    expect(Math.round(stats.mtimeMs)).toBe(1_000_000_000_123);
  });

  test.each(["../x", "a/../x", "/x", "a//x", "a/", "."])("%j is no path below", async (path) => {
    const begin = host.file.beginUpload({ path: folder, below: bytes(path) });
    expect(await reasonOf(begin)).toBe(ErrorReason.INVALID_ARGUMENT);
  });

  test("a hash of pieces in any order, some of them twice, is the hash of the file", async () => {
    await assert(
      asyncProperty(array(integer({ min: 0, max: 19 }), { maxLength: 60 }), async (order) => {
        const file = randomBytes(195);
        const hash = new ArrivalHash();
        for (const piece of order) hash.add(piece * 10, file.subarray(piece * 10, piece * 10 + 10));
        const read = async (buffer: Buffer, offset: number) => file.copy(buffer, 0, offset);
        expect(await hash.digest(file.length, read)).toEqual(sha256(file));
      }),
    );
  });

  test("a checksum of pieces in any order, some of them twice, is that of the file", async () => {
    const size = 2.5 * UPLOAD_BLOCK_BYTES;
    // Blocks as they are, halves of them, and what lies across two.
    const pieces = [
      [0, UPLOAD_BLOCK_BYTES],
      [UPLOAD_BLOCK_BYTES, UPLOAD_BLOCK_BYTES],
      [2 * UPLOAD_BLOCK_BYTES, size - 2 * UPLOAD_BLOCK_BYTES],
      [0, UPLOAD_BLOCK_BYTES / 2],
      [UPLOAD_BLOCK_BYTES / 2, UPLOAD_BLOCK_BYTES / 2],
      [UPLOAD_BLOCK_BYTES - 10, 20],
    ] as const;
    const order = array(tuple(constantFrom(...pieces), boolean()), { maxLength: 12 });
    await assert(
      asyncProperty(order, async (arrivals) => {
        const file = randomBytes(size);
        const hashes = new BlockHashes();
        const adding: Promise<void>[] = [];
        for (const [[offset, length], isOther] of arrivals) {
          // Of what comes twice, the last is in the file.
          if (isOther) file.fill(adding.length + 1, offset, offset + length);
          adding.push(hashes.add(offset, Buffer.from(file.subarray(offset, offset + length))));
        }
        await Promise.all(adding);
        const read = async (buffer: Buffer, offset: number) => file.copy(buffer, 0, offset);
        expect(await hashes.digest(file.length, read)).toEqual(blocksSha256(file));
      }),
      { numRuns: 50 },
    );
  });
});

describe("Read", () => {
  test("sends checksums of all it sends", async () => {
    const data = randomBytes(9_000_000);
    await writeFile(at("big"), data);
    let position = 1000;
    let block: Uint8Array[] = [];
    let checksums = 0;
    for await (const { part } of host.file.read({
      path: at("big"),
      offset: 1000n,
      checksums: true,
    })) {
      if (part.case === "data") block.push(part.value);
      if (part.case !== "checksum") continue;
      const joined = Buffer.concat(block);
      expect(joined.length).toBeLessThanOrEqual(4 << 20);
      expect(Buffer.from(part.value.sha256)).toEqual(sha256(joined));
      expect(joined.equals(data.subarray(position, position + joined.length))).toBe(true);
      position += joined.length;
      block = [];
      checksums++;
    }
    expect(position).toBe(data.length);
    expect(block).toEqual([]);
    expect(checksums).toBeGreaterThanOrEqual(3);
  });

  test("of a version ends when the file is another", async () => {
    await writeFile(at("file"), "one");
    const { info } = await host.file.stat({ path: at("file") });
    const read = async () => {
      for await (const { part } of host.file.read({
        path: at("file"),
        ifVersion: info?.version ?? "",
      })) {
        if (part.case === "data") return Buffer.from(part.value).toString();
      }
      return undefined;
    };
    expect(await read()).toBe("one");
    await writeFile(at("file"), "another");
    expect(await reasonOf(read())).toBe(ErrorReason.FILE_CHANGED);
  });
});

async function readTree(path: string, from: { after?: Uint8Array; offset?: bigint } = {}) {
  const entries: { path: Buffer; type: FileType; mode: number; target: string; data: Buffer }[] =
    [];
  for await (const message of host.file.readTree({ path, ...from })) {
    expect(Buffer.from(message.sha256)).toEqual(treeChecksum(message.entries));
    for (const entry of message.entries) {
      const last = entries.at(-1);
      if (last !== undefined && last.path.equals(entry.path)) {
        last.data = Buffer.concat([last.data, entry.data]);
        continue;
      }
      entries.push({
        path: Buffer.from(entry.path),
        type: entry.type,
        mode: entry.mode,
        target: Buffer.from(entry.symlinkTarget).toString(),
        data: Buffer.from(entry.data),
      });
    }
  }
  return entries;
}

const writeTree = (path: string, entries: Entry[]) =>
  host.file.writeTree({ path, entries, sha256: treeChecksum(entries) });

describe("trees", () => {
  test("are written whole: modes, times, links, empty folders and any name", async () => {
    const modifiedAt = timestampFromMs(1_234_567_890_000);
    const odd = Buffer.from([0x6f, 0x0a, 0xfe]);
    const { failures } = await writeTree(at("tree"), [
      { path: bytes("empty"), type: FileType.DIRECTORY, mode: 0o700 },
      { path: bytes("a/b/file"), type: FileType.FILE, mode: 0o640, data: bytes("x"), modifiedAt },
      { path: odd, type: FileType.FILE, mode: 0o4755, data: bytes("odd") },
      { path: bytes("link"), type: FileType.SYMLINK, symlinkTarget: bytes("../else where") },
      { path: bytes("a"), type: FileType.DIRECTORY, mode: 0o555, modifiedAt },
    ]);
    expect(failures).toEqual([]);
    const file = await stat(at("tree/a/b/file"));
    expect([file.mode & 0o7777, file.mtimeMs]).toEqual([0o640, 1_234_567_890_000]);
    expect((await stat(at("tree/a"))).mtimeMs).toBe(1_234_567_890_000);
    expect((await stat(at("tree/a"))).mode & 0o777).toBe(0o555);
    expect((await stat(at("tree/empty"))).mode & 0o777).toBe(0o700);
    expect(await readlink(at("tree/link"))).toBe("../else where");
    expect((await stat(Buffer.concat([Buffer.from(at("tree/")), odd]))).mode & 0o7777).toBe(0o4755);
  });

  test("written again replace what is there, and tell what they cannot replace", async () => {
    await mkdir(at("tree/folder"), { recursive: true });
    await writeFile(at("tree/file"), "old");
    await symlink("/etc", at("tree/way"));
    const { failures } = await writeTree(at("tree"), [
      { path: bytes("file"), type: FileType.SYMLINK, symlinkTarget: bytes("x") },
      { path: bytes("file"), type: FileType.FILE, data: bytes("new") },
      { path: bytes("folder"), type: FileType.FILE, data: bytes("new") },
      { path: bytes("way/passwd"), type: FileType.FILE, data: bytes("new") },
      { path: bytes("../outside"), type: FileType.FILE, data: bytes("new") },
      { path: bytes("after"), type: FileType.FILE, data: bytes("all the same") },
    ]);
    expect(failures.map(({ path, reason }) => [Buffer.from(path).toString(), reason])).toEqual([
      ["folder", "IS_DIRECTORY"],
      ["way/passwd", "NOT_DIRECTORY"],
      ["../outside", "INVALID_ARGUMENT"],
    ]);
    expect(await readFile(at("tree/file"), "utf8")).toBe("new");
    expect((await lstat(at("tree/file"))).isFile()).toBe(true);
    expect(existsSync(at("outside"))).toBe(false);
    expect(existsSync(at("tree/after"))).toBe(true);
    expect(readdirSync(at("tree")).toSorted()).toEqual(["after", "file", "folder", "way"]);
  });

  test("that were damaged on their way are refused", async () => {
    const entries = [{ path: bytes("f"), type: FileType.FILE, data: bytes("x") }];
    const write = host.file.writeTree({ path: at("tree"), entries, sha256: sha256(bytes("y")) });
    expect(await reasonOf(write)).toBe(ErrorReason.CHECKSUM_MISMATCH);
    expect(existsSync(at("tree"))).toBe(false);
  });

  test("are read whole, parents first, sorted by bytes", async () => {
    await mkdir(at("tree/b/empty"), { recursive: true });
    await writeFile(at("tree/b.txt"), "1");
    await writeFile(at("tree/b/big"), Buffer.alloc(1_000_000, "x"));
    await writeFile(
      Buffer.concat([Buffer.from(at("tree/")), Buffer.from([0x61, 0xff, 0x0a])]),
      "odd",
    );
    await symlink("b", at("tree/link"));
    execFileSync("mkfifo", [at("tree/pipe")]);
    await chmod(at("tree/b/empty"), 0o711);
    const entries = await readTree(at("tree"));
    expect(entries.map(({ path, type }) => [path.toString("latin1"), FileType[type]])).toEqual([
      ["", "DIRECTORY"],
      ["a\xff\n", "FILE"],
      ["b", "DIRECTORY"],
      ["b/big", "FILE"],
      ["b/empty", "DIRECTORY"],
      ["b.txt", "FILE"],
      ["link", "SYMLINK"],
      ["pipe", "OTHER"],
    ]);
    expect(entries[3]?.data.length).toBe(1_000_000);
    expect(entries[4]?.mode).toBe(0o711);
    expect(entries[6]?.target).toBe("b");
  });

  test("are gone on with after any entry, and in the middle of a file", async () => {
    for (const path of ["a/1", "a/2", "a.b", "c/d/e", "c/d/f", "g"]) {
      await mkdir(join(at("tree"), path, ".."), { recursive: true });
      await writeFile(at("tree", path), path.repeat(100_000));
    }
    const all = await readTree(at("tree"));
    for (const [index, { path, data }] of all.entries()) {
      const rest = await readTree(at("tree"), { after: path });
      expect(rest).toEqual(all.slice(index + 1));
      if (data.length === 0) continue;
      const [first] = await readTree(at("tree"), { after: path, offset: 12_345n });
      expect(first?.path).toEqual(path);
      expect(first?.data.equals(data.subarray(12_345))).toBe(true);
    }
  });

  test("a file that shrinks while it is read ends early, and says so", async () => {
    await writeFile(at("file"), Buffer.alloc(2_000_000));
    let received = 0;
    let last = false;
    for await (const { entries } of host.file.readTree({ path: folder })) {
      for (const entry of entries) {
        received += entry.data.length;
        last = entry.last;
        if (entry.data.length > 0 && received < 500_000) await truncate(at("file"), 600_000);
      }
    }
    expect(last).toBe(true);
    expect(received).toBeLessThanOrEqual(2_000_000);
  });

  test("keep the times of folders, and thousands of files take few messages", async () => {
    await mkdir(at("tree"));
    for (let i = 0; i < 2000; i++) await writeFile(at("tree", String(i)), String(i));
    await utimes(at("tree"), 1000, 1000);
    let messages = 0;
    const entries: TreeEntry[] = [];
    for await (const message of host.file.readTree({ path: at("tree") })) {
      messages++;
      entries.push(...message.entries);
    }
    const modifiedAt = entries[0]?.modifiedAt;
    expect(modifiedAt && timestampMs(modifiedAt)).toBe(1_000_000);
    const files = entries.filter(({ type }) => type === FileType.FILE).length;
    expect(files).toBe(2000);
    expect(messages).toBeLessThan(5);
  });

  test("what is no folder is not read as one", async () => {
    await writeFile(at("file"), "");
    expect(await reasonOf(readTree(at("file")))).toBe(ErrorReason.NOT_DIRECTORY);
    expect(await reasonOf(readTree(at("none")))).toBe(ErrorReason.FILE_NOT_FOUND);
    expect(await reasonOf(readTree("/workspace/.nullspace"))).toBe(ErrorReason.RESERVED_PATH);
  });
});
