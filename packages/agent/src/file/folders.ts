import { chmod, chown, mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { User } from "../guest/users.js";
import { errorCode } from "./file-fault.js";

/** Permission bits of a folder that nobody has said anything about. */
export const FOLDER_MODE = 0o755;

/**
 * Makes a folder and those it lies in, as far as they are missing. New ones
 * belong to the user; one that is there stays as it is.
 *
 * @param mode permission bits of the folder itself; its parents have {@link FOLDER_MODE}.
 * @throws system errors: EEXIST or ENOTDIR where something else is in the way.
 */
export async function makeFolder(path: string, user: User, mode = FOLDER_MODE): Promise<void> {
  if (await makeOne(path, user, mode)) return;
  await makeFolder(dirname(path), user);
  await makeOne(path, user, mode);
}

/** Says whether the folder is there now; false when its parent is missing. */
async function makeOne(path: string, user: User, mode: number): Promise<boolean> {
  try {
    await mkdir(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    if (errorCode(error) === "EEXIST" && (await stat(path)).isDirectory()) return true;
    throw error;
  }
  await chown(path, user.uid, user.gid);
  await chmod(path, mode);
  return true;
}
