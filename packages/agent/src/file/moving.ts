import {
  chmod,
  copyFile,
  lchown,
  lstat,
  mkdir,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { randomBytes } from "../guest/random.js";
import { errorCode } from "./file-fault.js";

/**
 * Renames a file or folder; between file systems, where the kernel cannot, it
 * is copied beside its destination, put in place at once, and then removed.
 *
 * @throws system errors. After one the source is as it was.
 */
export async function move(from: string, to: string): Promise<void> {
  try {
    return await rename(from, to);
  } catch (error) {
    if (errorCode(error) !== "EXDEV") throw error;
  }
  const temporary = join(dirname(to), `.nullspace-${randomBytes(16).toString("hex")}`);
  try {
    await copyTree(from, temporary);
    await rename(temporary, to);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  await rm(from, { recursive: true });
}

/** Copies with owners, permission bits and times; links as links. Sockets and devices are errors. */
async function copyTree(from: string, to: string): Promise<void> {
  const stats = await lstat(from);
  if (stats.isSymbolicLink()) {
    await symlink(await readlink(from), to);
    return lchown(to, stats.uid, stats.gid);
  }
  if (stats.isDirectory()) {
    await mkdir(to);
    for (const name of await readdir(from)) await copyTree(join(from, name), join(to, name));
  } else {
    await copyFile(from, to);
  }
  await lchown(to, stats.uid, stats.gid);
  await chmod(to, stats.mode & 0o7777);
  return utimes(to, stats.atime, stats.mtime);
}
