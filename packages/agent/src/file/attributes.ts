import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  lchownSync,
  lstatSync,
  openSync,
} from "node:fs";
import { setImmediate } from "node:timers/promises";
import type { Name, Spot } from "./anchor.js";
import { errorCode } from "./file-fault.js";
import type { Paths } from "./paths.js";
import { walk } from "./walking.js";

/** Entries changed before others get their turn. */
const BATCH = 64;

/**
 * Sets the permission bits of a file or folder, and with `recursive` of all it
 * holds but links, which have none.
 */
export async function setPermissions(
  paths: Paths,
  spot: Spot,
  mode: number,
  recursive: boolean,
): Promise<void> {
  await forAll(paths, spot, recursive, (file) => changeMode(file, mode));
}

/** Sets the owner of a file or folder, and with `recursive` of all it holds, links included. */
export async function setOwner(
  paths: Paths,
  spot: Spot,
  owner: { uid: number; gid: number },
  recursive: boolean,
): Promise<void> {
  await forAll(paths, spot, recursive, (file) => lchownSync(file, owner.uid, owner.gid));
}

async function forAll(
  paths: Paths,
  spot: Spot,
  recursive: boolean,
  change: (file: Name) => void,
): Promise<void> {
  const isFolder = lstatSync(spot.file).isDirectory();
  if (isFolder && recursive) {
    using folder = spot.folder.descend(spot.name);
    const except = paths.reservedBelow(folder);
    let count = 0;
    // All that is inside first: afterwards the way in may be closed to others than us.
    for await (const step of walk(folder, { except })) {
      try {
        change(step.folder.at(step.name));
      } catch (error) {
        if (errorCode(error) !== "ENOENT") throw error;
      }
      if (++count % BATCH === 0) await setImmediate();
    }
  }
  change(spot.file);
}

/** There is no chmod that leaves links alone but through what is open. */
function changeMode(file: Name, mode: number): void {
  const stats = lstatSync(file);
  if (stats.isSymbolicLink()) return;
  if (!stats.isFile() && !stats.isDirectory()) return chmodSync(file, mode);
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    fchmodSync(fd, mode);
  } finally {
    closeSync(fd);
  }
}
