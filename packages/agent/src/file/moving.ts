import {
  chmod,
  copyFile,
  lchown,
  lstat,
  readlink,
  rename,
  symlink,
  utimes,
} from "node:fs/promises";
import { constants, mkdirSync } from "node:fs";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Anchor, Name, Spot } from "./anchor.js";
import { errorCode } from "./file-fault.js";
import { namesIn } from "./names.js";
import { removeTree } from "./removing.js";
import { temporaryName } from "./replacement.js";

/**
 * Renames a file or folder; between file systems, where the kernel cannot, it
 * is copied beside its destination, put in place at once, and then removed.
 *
 * @throws system errors. After one the source is as it was.
 */
export async function move(from: Spot, to: Spot): Promise<void> {
  try {
    return await rename(from.file, to.file);
  } catch (error) {
    if (errorCode(error) !== "EXDEV") throw error;
  }
  await putCopy(from, to, false);
  await removeTree(from.folder, from.name);
}

/**
 * Copies a file, a link, or a folder with all it holds; the copy appears at
 * once, when it is complete. A file that is there is replaced.
 *
 * @throws Fault FILE_EXISTS where a folder is there already, or for a folder where a file is.
 */
export async function copy(from: Spot, to: Spot, isReserved?: (path: Buffer) => boolean) {
  const source = await lstat(from.file);
  const there = await lstat(to.file).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  });
  if (there !== undefined && (there.isDirectory() || source.isDirectory())) {
    throw new Fault(ErrorReason.FILE_EXISTS, `${to.path} is there already`, {
      remedy: "Remove it first, or copy to another path.",
      details: { path: to.path },
    });
  }
  await putCopy(from, to, there !== undefined, isReserved);
}

async function putCopy(
  from: Spot,
  to: Spot,
  replaces: boolean,
  isReserved: (path: Buffer) => boolean = () => false,
) {
  const temporary = temporaryName(replaces);
  try {
    await copyTree(from, to.folder, temporary, Buffer.alloc(0), isReserved);
    await rename(to.folder.at(temporary), to.file);
  } catch (error) {
    await removeTree(to.folder, temporary);
    throw error;
  }
}

/** Copies with owners, permission bits and times; links as links. */
async function copyTree(
  from: { folder: Anchor; name: Name; path: string },
  to: Anchor,
  name: Name,
  below: Buffer,
  isReserved: (path: Buffer) => boolean,
): Promise<void> {
  const source = from.folder.at(from.name);
  const target = to.at(name);
  const stats = await lstat(source);
  if (stats.isSymbolicLink()) {
    await symlink(await readlink(source, { encoding: "buffer" }), target);
    return lchown(target, stats.uid, stats.gid);
  }
  if (stats.isDirectory()) {
    mkdirSync(target, { mode: 0o700 });
    using inside = from.folder.descend(from.name);
    using made = to.descend(name);
    for (const child of await namesIn(inside)) {
      const path = below.length === 0 ? child : Buffer.concat([below, Buffer.from("/"), child]);
      if (isReserved(path)) continue;
      const entry = { folder: inside, name: child, path: from.path };
      await copyTree(entry, made, child, path, isReserved);
    }
  } else if (stats.isFile()) {
    await copyFile(source, target, constants.COPYFILE_EXCL);
  } else {
    throw new Fault(ErrorReason.INVALID_ARGUMENT, `${from.path} holds a device, pipe or socket`, {
      remedy: "Remove it first: only files, folders and links are copied.",
      details: { path: from.path },
    });
  }
  await lchown(target, stats.uid, stats.gid);
  await chmod(target, stats.mode & 0o7777);
  await utimes(target, stats.atime, stats.mtime);
}
