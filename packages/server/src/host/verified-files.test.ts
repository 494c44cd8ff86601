import { createHash } from "node:crypto";
import {
  mkdtemp,
  open,
  readdir,
  rename,
  rm,
  symlink,
  unlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import { FileDigestSchema } from "@nullspace/proto/host";
import { expect, onTestFinished, test } from "vitest";
import { VerifiedFiles } from "./verified-files.js";

const CONTENTS = "what the file holds";
const remedy = "Build it again.";

async function scratch() {
  const directory = await mkdtemp(join(tmpdir(), "verified-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const path = join(directory, "rootfs.ext4");
  await writeFile(path, CONTENTS);
  const expected = create(FileDigestSchema, {
    size: BigInt(CONTENTS.length),
    sha256: createHash("sha256").update(CONTENTS).digest("hex"),
  });
  return { directory, path, expected };
}

test("a sound file opens, many times at once, also in the next process", async () => {
  const { path, expected } = await scratch();
  for (const files of [new VerifiedFiles(), new VerifiedFiles()]) {
    const opened = await Promise.all([1, 2, 3].map(() => files.open(path, expected, remedy)));
    for (const file of opened) {
      expect(await file.readFile("utf8")).toBe(CONTENTS);
      await file.close();
    }
  }
});

test("a byte that changes after the proof is found, whatever the file's times say", async () => {
  const { path, expected } = await scratch();
  const files = new VerifiedFiles();
  await (await files.open(path, expected, remedy)).close();
  await using file = await open(path, "r+");
  const { atime, mtime } = await file.stat();
  await file.write("W", 0);
  await utimes(path, atime, mtime);
  await expect(files.open(path, expected, remedy)).rejects.toMatchObject({
    reason: ErrorReason.IMAGE_CORRUPTED,
    remedy,
    details: { file: path },
  });
});

test("another size, a missing file, a link and an unknown file are refused", async () => {
  const { directory, path, expected } = await scratch();
  const files = new VerifiedFiles();
  const corrupted = { reason: ErrorReason.IMAGE_CORRUPTED };
  await expect(files.open(path, undefined, remedy)).rejects.toMatchObject(corrupted);
  await rename(path, join(directory, "elsewhere"));
  await expect(files.open(path, expected, remedy)).rejects.toMatchObject(corrupted);
  await symlink("elsewhere", path);
  await expect(files.open(path, expected, remedy)).rejects.toMatchObject(corrupted);
  await unlink(path);
  await writeFile(path, `${CONTENTS}.`);
  await expect(files.open(path, expected, remedy)).rejects.toMatchObject(corrupted);
});

test("damaged stamps only cost time", async () => {
  const { directory, path, expected } = await scratch();
  await writeFile(join(directory, ".verified.json"), "{");
  await (await new VerifiedFiles().open(path, expected, remedy)).close();
  expect((await readdir(directory)).toSorted()).toEqual([".verified.json", "rootfs.ext4"]);
});
