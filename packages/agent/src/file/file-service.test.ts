import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { chmod, lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { FileType } from "@nullspace/proto/agent";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import type { Host } from "../testing/dial.js";
import { reasonOf } from "../testing/output.js";

const isRoot = process.getuid?.() === 0;

let agent: TestAgent;
let host: Host;
let folder: string;

beforeAll(async () => {
  agent = await startTestAgent();
  host = await agent.dial();
});

let count = 0;
beforeEach(async () => {
  folder = join(agent.folder, `files-${count++}`);
  await mkdir(folder);
});

afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
});

const at = (...parts: string[]) => join(folder, ...parts);
const write = (path: string, text: string, options: object = {}) =>
  host.file.write({ path, data: Buffer.from(text), ...options });

async function read(path: string, range: { offset?: bigint; length?: bigint } = {}) {
  const chunks: Uint8Array[] = [];
  let size: bigint | undefined;
  for await (const { part } of host.file.read({ path, ...range })) {
    if (part.case === "info") size = part.value.size;
    if (part.case === "data") chunks.push(part.value);
  }
  return { size, data: Buffer.concat(chunks) };
}

async function list(path: string, depth = 0): Promise<string[]> {
  const paths: string[] = [];
  for await (const { entries } of host.file.list({ path, depth })) {
    paths.push(...entries.map((entry) => entry.path.slice(folder.length + 1)));
  }
  return paths;
}

async function upload(path: string, parts: { offset: number; data: Buffer }[], size: number) {
  const { uploadId } = await host.file.beginUpload({ path });
  await Promise.all(
    parts.map(({ offset, data }) =>
      host.file.uploadPart({ uploadId, offset: BigInt(offset), data }),
    ),
  );
  return host.file.commitUpload({ uploadId, size: BigInt(size) });
}

describe("Write and Read", () => {
  test("a file comes back as it was written, parents made", async () => {
    const { info } = await write(at("a", "b", "hello.txt"), "hello");
    expect(info).toMatchObject({
      name: "hello.txt",
      path: at("a", "b", "hello.txt"),
      size: 5n,
      mode: 0o644,
    });
    expect(await read(at("a", "b", "hello.txt"))).toEqual({ size: 5n, data: Buffer.from("hello") });
    expect((await stat(at("a", "b"))).mode & 0o777).toBe(0o755);
  });

  test("a part of a file is read by offset and length", async () => {
    await write(at("digits"), "0123456789");
    expect((await read(at("digits"), { offset: 3n, length: 4n })).data.toString()).toBe("3456");
    expect((await read(at("digits"), { offset: 8n, length: 100n })).data.toString()).toBe("89");
    expect((await read(at("digits"), { offset: 100n })).data).toHaveLength(0);
    expect((await read(at("digits"), { length: 0n })).data).toHaveLength(0);
  });

  test("an empty file is a file", async () => {
    await write(at("empty"), "");
    expect(await read(at("empty"))).toEqual({ size: 0n, data: Buffer.alloc(0) });
  });

  test("files of /proc are read although they have no size", async () => {
    expect((await read("/proc/version")).data.toString()).toMatch(/^Linux/);
  });

  test("a file that is replaced keeps its mode, and no temporary stays behind", async () => {
    await write(at("script"), "one", { mode: 0o750 });
    const { info } = await write(at("script"), "two", { mode: 0o600 });
    expect(info?.mode).toBe(0o750);
    expect(await readFile(at("script"), "utf8")).toBe("two");
    expect(await readdir(folder)).toEqual(["script"]);
  });

  test.runIf(isRoot)("new files and parents belong to the user who was named", async () => {
    await chmod(agent.folder, 0o755);
    const { info } = await write(at("new", "file"), "x", { user: "nobody" });
    expect(info?.owner).toBe("nobody");
    expect((await stat(at("new"))).uid).toBe(65534);
    expect((await write(at("new", "file"), "y")).info?.owner).toBe("nobody");
  });

  test("writing through a link writes where it points, there or not", async () => {
    await symlink("real", at("link"));
    await write(at("link"), "through");
    expect(await readFile(at("real"), "utf8")).toBe("through");
    expect((await lstat(at("link"))).isSymbolicLink()).toBe(true);
  });

  test.each([
    ["a folder", () => folder, ErrorReason.IS_DIRECTORY],
    ["below a file", () => at("file", "x"), ErrorReason.NOT_DIRECTORY],
    ["a pipe", () => at("pipe"), ErrorReason.FILE_EXISTS],
    ["an empty path", () => "", ErrorReason.INVALID_ARGUMENT],
    ["a path with NUL", () => at("a\0b"), ErrorReason.INVALID_ARGUMENT],
    ["a name that is too long", () => at("x".repeat(300)), ErrorReason.INVALID_ARGUMENT],
    ["a loop of links", () => at("loop", "x"), ErrorReason.INVALID_ARGUMENT],
    ["the reserved folder", () => "/workspace/.nullspace/x", ErrorReason.RESERVED_PATH],
    [
      "the reserved folder, by a detour",
      () => "/tmp/../workspace/./.nullspace",
      ErrorReason.RESERVED_PATH,
    ],
  ])("writing to %s is refused", async (_, path, reason) => {
    await writeFile(at("file"), "");
    execFileSync("mkfifo", [at("pipe")]);
    await symlink("loop", at("loop"));
    expect(await reasonOf(write(path(), "x"))).toBe(reason);
  });

  test("reading what is no file is refused", async () => {
    execFileSync("mkfifo", [at("pipe")]);
    expect(await reasonOf(read(folder))).toBe(ErrorReason.IS_DIRECTORY);
    expect(await reasonOf(read(at("none")))).toBe(ErrorReason.FILE_NOT_FOUND);
    expect(await reasonOf(read(at("pipe")))).toBe(ErrorReason.INVALID_ARGUMENT);
  });

  test("the limit of one call is told", async () => {
    const failure = host.file.write({ path: at("big"), data: Buffer.alloc((1 << 20) + 1) });
    await expect(failure).rejects.toThrow(/too many/);
  });

  test.runIf(isRoot)("a full disk is the guest's, and leaves nothing", async () => {
    await mkdir(at("small"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", at("small")]);
    try {
      expect(await reasonOf(write(at("small", "f"), "x".repeat(100_000)))).toBe(
        ErrorReason.GUEST_DISK_FULL,
      );
      expect(await readdir(at("small"))).toEqual([]);
    } finally {
      execFileSync("umount", [at("small")]);
    }
  });
});

describe("uploads", () => {
  const data = Buffer.alloc(5_000_000);
  for (let i = 0; i < data.length; i += 4) data.writeUInt32LE(i, i);
  const cut = (size: number) =>
    Array.from({ length: Math.ceil(data.length / size) }, (_, i) => ({
      offset: i * size,
      data: data.subarray(i * size, (i + 1) * size),
    }));

  test("parts in any order, and twice, make the file, invisible before", async () => {
    const { uploadId } = await host.file.beginUpload({ path: at("new", "big"), mode: 0o600 });
    const parts = [...cut(1 << 20).toReversed(), ...cut(700_000)];
    await Promise.all(
      parts.map((part) =>
        host.file.uploadPart({ uploadId, offset: BigInt(part.offset), data: part.data }),
      ),
    );
    expect(await list(at("new"))).toEqual([]);
    const { info } = await host.file.commitUpload({ uploadId, size: BigInt(data.length) });
    expect(info).toMatchObject({ size: BigInt(data.length), mode: 0o600 });
    expect(hash(await readFile(at("new", "big")))).toBe(hash(data));
    expect(hash((await read(at("new", "big"))).data)).toBe(hash(data));
    expect(await list(at("new"))).toEqual(["new/big"]);
  });

  test.each([
    [
      "a gap",
      [
        { offset: 0, data: Buffer.alloc(10) },
        { offset: 20, data: Buffer.alloc(10) },
      ],
      30,
    ],
    ["too few bytes", [{ offset: 0, data: Buffer.alloc(10) }], 11],
    ["too many bytes", [{ offset: 0, data: Buffer.alloc(10) }], 9],
    ["no beginning", [{ offset: 5, data: Buffer.alloc(5) }], 10],
  ])("one with %s is not put in place", async (_, parts, size) => {
    expect(await reasonOf(upload(at("file"), parts, size))).toBe(ErrorReason.UPLOAD_INCOMPLETE);
    await expect(stat(at("file"))).rejects.toThrow("ENOENT");
  });

  test("an empty one is an empty file", async () => {
    await upload(at("empty"), [], 0);
    expect((await stat(at("empty"))).size).toBe(0);
  });

  test("one that is dropped leaves nothing, and dropping it again is fine", async () => {
    const { uploadId } = await host.file.beginUpload({ path: at("file") });
    expect(await readdir(folder)).toHaveLength(1);
    await host.file.abortUpload({ uploadId });
    await host.file.abortUpload({ uploadId });
    expect(await readdir(folder)).toEqual([]);
    expect(await reasonOf(host.file.uploadPart({ uploadId }))).toBe(ErrorReason.UPLOAD_NOT_FOUND);
    expect(await reasonOf(host.file.commitUpload({ uploadId }))).toBe(ErrorReason.UPLOAD_NOT_FOUND);
  });
});

describe("List and Stat", () => {
  test("lists parents before children, sorted, down to a depth, links not followed", async () => {
    for (const path of ["b/c/d", "a", "b/a", "b.txt"]) await write(at(path), path);
    await symlink("b", at("link"));
    expect(await list(folder)).toEqual(["a", "b", "b.txt", "link"]);
    expect(await list(folder, 2)).toEqual(["a", "b", "b/a", "b/c", "b.txt", "link"]);
    expect(await list(folder, 9)).toEqual(["a", "b", "b/a", "b/c", "b/c/d", "b.txt", "link"]);
    expect(await list(at("link"))).toEqual(["link/a", "link/c"]);
  });

  test("streams large folders whole", async () => {
    const names = Array.from({ length: 1000 }, (_, i) => `n${String(i).padStart(4, "0")}`);
    await Promise.all(names.map((name) => writeFile(at(name), "")));
    expect(await list(folder)).toEqual(names);
  });

  test("a name that is not UTF-8 does not hide its neighbours", async () => {
    await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x61, 0xff])]), "x");
    await writeFile(at("b"), "");
    expect(await list(folder)).toEqual(["a\ufffd", "b"]);
  });

  test("tells what a path is, the link and not its target", async () => {
    await write(at("file"), "12345", { mode: 0o4711 });
    await symlink("file", at("link"));
    const { info: file } = await host.file.stat({ path: at("file") });
    expect(file).toMatchObject({ type: FileType.FILE, size: 5n, mode: 0o4711 });
    expect(Math.abs(Number(file?.modifiedAt?.seconds) - Date.now() / 1000)).toBeLessThan(10);
    const { info: link } = await host.file.stat({ path: at("link") });
    expect(link).toMatchObject({ type: FileType.SYMLINK, symlinkTarget: "file", name: "link" });
    expect((await host.file.stat({ path: "/dev/null" })).info?.type).toBe(FileType.OTHER);
    expect((await host.file.stat({ path: "/" })).info).toMatchObject({
      type: FileType.DIRECTORY,
      path: "/",
    });
  });

  test("what is not there is not found", async () => {
    expect(await reasonOf(host.file.stat({ path: at("none") }))).toBe(ErrorReason.FILE_NOT_FOUND);
    expect(await reasonOf(list(at("none")))).toBe(ErrorReason.FILE_NOT_FOUND);
    await write(at("file"), "");
    expect(await reasonOf(list(at("file")))).toBe(ErrorReason.NOT_DIRECTORY);
  });
});

describe("MakeDir, Rename and Remove", () => {
  test("folders are made with their parents, and being there is fine", async () => {
    const { info } = await host.file.makeDir({ path: at("a/b/c"), mode: 0o700 });
    expect(info).toMatchObject({ type: FileType.DIRECTORY, mode: 0o700 });
    await host.file.makeDir({ path: at("a/b/c") });
    expect((await stat(at("a/b"))).mode & 0o777).toBe(0o755);
    await write(at("file"), "");
    expect(await reasonOf(host.file.makeDir({ path: at("file") }))).toBe(ErrorReason.FILE_EXISTS);
    expect(await reasonOf(host.file.makeDir({ path: at("file/x") }))).toBe(
      ErrorReason.NOT_DIRECTORY,
    );
  });

  test("a file is moved, with the parents made and what was there replaced", async () => {
    await write(at("from"), "new");
    await write(at("x/to"), "old");
    await host.file.rename({ from: at("from"), to: at("x/to") });
    await host.file.rename({ from: at("x/to"), to: at("y/z/to") });
    expect(await readFile(at("y/z/to"), "utf8")).toBe("new");
    expect(await list(folder, 3)).toEqual(["x", "y", "y/z", "y/z/to"]);
  });

  test("a source that is not there makes no parents", async () => {
    const failure = host.file.rename({ from: at("none"), to: at("made/x") });
    expect(await reasonOf(failure)).toBe(ErrorReason.FILE_NOT_FOUND);
    expect(await readdir(folder)).toEqual([]);
  });

  test("a folder does not take the place of another that is full", async () => {
    await write(at("a/1"), "");
    await write(at("b/2"), "");
    const failure = host.file.rename({ from: at("a"), to: at("b") });
    expect(await reasonOf(failure)).toBe(ErrorReason.DIRECTORY_NOT_EMPTY);
  });

  test.runIf(isRoot)("between file systems a tree is moved whole", async () => {
    await mkdir(at("other"));
    execFileSync("mount", ["-t", "tmpfs", "none", at("other")]);
    try {
      await write(at("tree/bin/run"), "#!", { mode: 0o755, user: "nobody" });
      await symlink("run", at("tree/bin/link"));
      await host.file.rename({ from: at("tree"), to: at("other/tree") });
      expect(await list(folder, 9)).toEqual([
        "other",
        "other/tree",
        "other/tree/bin",
        "other/tree/bin/link",
        "other/tree/bin/run",
      ]);
      const { info } = await host.file.stat({ path: at("other/tree/bin/run") });
      expect(info).toMatchObject({ mode: 0o755, owner: "nobody" });
    } finally {
      execFileSync("umount", [at("other")]);
    }
  });

  test("a link is removed and not what it points to; folders only when empty, or recursively", async () => {
    await write(at("folder/file"), "");
    await symlink("folder", at("link"));
    await host.file.remove({ path: at("link"), recursive: true });
    expect(await list(folder, 2)).toEqual(["folder", "folder/file"]);
    const failure = host.file.remove({ path: at("folder") });
    expect(await reasonOf(failure)).toBe(ErrorReason.DIRECTORY_NOT_EMPTY);
    await host.file.remove({ path: at("folder"), recursive: true });
    await host.file.makeDir({ path: at("empty") });
    await host.file.remove({ path: at("empty") });
    expect(await list(folder)).toEqual([]);
    expect(await reasonOf(host.file.remove({ path: at("empty") }))).toBe(
      ErrorReason.FILE_NOT_FOUND,
    );
  });

  test.each(["/", "/workspace", "/workspace/.nullspace"])("%s cannot be removed", async (path) => {
    const failure = host.file.remove({ path, recursive: true });
    expect(await reasonOf(failure)).toBe(ErrorReason.RESERVED_PATH);
  });
});

function hash(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}
