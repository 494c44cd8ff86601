import { chmodSync, chownSync, lstatSync, mkdirSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { User } from "../guest/users.js";
import { Anchor, type Name } from "./anchor.js";
import { errorCode } from "./file-fault.js";

/** Permission bits of a folder that nobody has said anything about. */
export const FOLDER_MODE = 0o755;

/** Looks at where a folder really is and throws to refuse it. */
export type Admission = (real: string) => void;

/**
 * Opens a folder, and makes it and those it lies in as far as they are missing.
 * New ones belong to the user; one that is there stays as it is.
 *
 * @throws system errors: EEXIST or ENOTDIR where something else is in the way.
 */
export function openOrMake(path: string, user: User, admit: Admission): Anchor {
  try {
    return Anchor.open(path, admit);
  } catch (error) {
    if (errorCode(error) !== "ENOENT" || dirname(path) === path) throw error;
  }
  using parent = openOrMake(dirname(path), user, admit);
  makeIn(parent, basename(path), user, FOLDER_MODE);
  const made = parent.descend(basename(path));
  try {
    admit(path);
    return made;
  } catch (error) {
    made[Symbol.dispose]();
    throw error;
  }
}

/**
 * Makes a folder in a folder; says whether it was missing.
 *
 * @throws system errors: EEXIST where something else is in the way.
 */
export function makeIn(parent: Anchor, name: Name, user: User, mode: number): boolean {
  try {
    mkdirSync(parent.at(name), { mode: 0o700 });
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
    if (lstatSync(parent.at(name)).isDirectory()) return false;
    throw error;
  }
  // Through the folder itself: its name may be given to a link at any time.
  using made = parent.descend(name);
  chownSync(made.path, user.uid, user.gid);
  chmodSync(made.path, mode);
  return true;
}

/** Opens a folder some levels below another, and makes what is missing on the way. */
export function openBelow(root: Anchor, names: readonly Buffer[], user: User): Anchor {
  const [first, ...rest] = names;
  if (first === undefined) return root.descend(".");
  let folder = openOne(root, first, user);
  for (const name of rest) {
    using parent = folder;
    folder = openOne(parent, name, user);
  }
  return folder;
}

function openOne(parent: Anchor, name: Buffer, user: User): Anchor {
  try {
    return parent.descend(name);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  makeIn(parent, name, user, FOLDER_MODE);
  return parent.descend(name);
}
