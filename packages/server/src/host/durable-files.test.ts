import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  makeTemporaryDirectory,
  publishDirectory,
  removeLeftovers,
  removeTree,
  replaceFile,
} from "./durable-files.js";

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "durable-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

test.each([true, false])("a file is replaced whole, durable: %s", async (durable) => {
  const directory = await scratch();
  const path = join(directory, "file");
  await replaceFile(path, "one", { mode: 0o600, durable });
  await replaceFile(path, "two", { mode: 0o400, durable });
  expect(await readFile(path, "utf8")).toBe("two");
  expect((await stat(path)).mode & 0o777).toBe(0o400);
  expect(await readdir(directory)).toEqual(["file"]);
});

test("a replacement that fails leaves the former file and nothing else", async () => {
  const directory = await scratch();
  await mkdir(join(directory, "folder"));
  const failed = replaceFile(join(directory, "folder"), "x", { mode: 0o600, durable: false });
  await expect(failed).rejects.toThrow("EISDIR");
  expect(await readdir(directory)).toEqual(["folder"]);
});

test("a folder appears under its name only when it is published", async () => {
  const directory = await scratch();
  const temporary = await makeTemporaryDirectory(join(directory, "snapshot"));
  await writeFile(join(temporary, "memory"), "m");
  await expect(stat(join(directory, "snapshot"))).rejects.toThrow("ENOENT");
  await publishDirectory(temporary, join(directory, "snapshot"));
  expect(await readdir(directory)).toEqual(["snapshot"]);
  expect(await readdir(join(directory, "snapshot"))).toEqual(["memory"]);
});

test("leftovers go, the rest stays", async () => {
  const directory = await scratch();
  await writeFile(join(await makeTemporaryDirectory(join(directory, "a")), "file"), "");
  await mkdir(join(directory, "b"));
  await removeLeftovers(directory);
  expect(await readdir(directory)).toEqual(["b"]);
});

test("a tree is removed with all it holds; one that is gone is fine", async () => {
  const directory = await scratch();
  await mkdir(join(directory, "a/b/c"), { recursive: true });
  await removeTree(join(directory, "a"));
  await removeTree(join(directory, "a"));
  expect(await readdir(directory)).toEqual([]);
});
