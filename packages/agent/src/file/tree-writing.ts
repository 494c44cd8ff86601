import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  openSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { setImmediate } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@nullspace/proto";
import { FileType, type TreeEntry, type TreeFailureSchema } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { User } from "../guest/users.js";
import type { Anchor } from "./anchor.js";
import { errorCode, fileFault } from "./file-fault.js";
import { FOLDER_MODE, makeIn, openBelow } from "./folders.js";
import { splitBelow } from "./names.js";
import { temporaryName } from "./replacement.js";

type Failure = MessageInitShape<typeof TreeFailureSchema>;

/** Entries written before others get their turn. */
const BATCH = 32;

/** Folders that are kept open for the entries to come. */
const MOST_OPEN = 64;

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * Writes entries below a folder, one after the other. It asks the kernel
 * directly, without the thread pool: thousands of small files take a few system
 * calls each, and the way to a thread and back costs more than these.
 *
 * @returns what could not be written, and why. The rest is there.
 */
export async function writeTree(
  root: Anchor,
  entries: readonly TreeEntry[],
  user: User,
  isReserved: (path: Buffer) => boolean,
): Promise<Failure[]> {
  using folders = new OpenFolders(root, user);
  const failures: Failure[] = [];
  for (const [index, entry] of entries.entries()) {
    try {
      writeEntry(folders, entry, user, isReserved);
    } catch (error) {
      failures.push(toFailure(entry.path, error));
    }
    if (index % BATCH === BATCH - 1) await setImmediate();
  }
  return failures;
}

function writeEntry(
  folders: OpenFolders,
  entry: TreeEntry,
  user: User,
  isReserved: (path: Buffer) => boolean,
): void {
  const names = splitBelow(entry.path);
  if (isReserved(Buffer.from(entry.path))) {
    throw new Fault(ErrorReason.RESERVED_PATH, `${entry.path.toString()} is reserved`);
  }
  const name = names.pop();
  const modifiedAt = entry.modifiedAt && timestampMs(entry.modifiedAt) / 1000;
  if (name === undefined) return adjustFolder(folders.open([]), entry.mode, modifiedAt);
  const folder = folders.open(names);
  switch (entry.type) {
    case FileType.DIRECTORY: {
      makeIn(folder, name, user, entry.mode || FOLDER_MODE);
      using made = folder.descend(name);
      return adjustFolder(made, entry.mode, modifiedAt);
    }
    case FileType.FILE:
      return writeFile(folder, name, entry, user, modifiedAt);
    case FileType.SYMLINK:
      return writeLink(folder, name, entry, user, modifiedAt);
    case FileType.OTHER:
    case FileType.UNSPECIFIED:
      throw new Fault(ErrorReason.INVALID_ARGUMENT, "only files, folders and links are written");
  }
}

function adjustFolder(folder: Anchor, mode: number, modifiedAt: number | undefined): void {
  if (mode > 0) chmodSync(folder.path, mode & 0o7777);
  if (modifiedAt !== undefined) utimesSync(folder.path, modifiedAt, modifiedAt);
}

function writeFile(
  folder: Anchor,
  name: Buffer,
  entry: TreeEntry,
  user: User,
  modifiedAt: number | undefined,
): void {
  putInPlace(folder, name, (path) => {
    const fd = openSync(path, CREATE, 0o600);
    try {
      for (let at = 0; at < entry.data.length;) at += writeSync(fd, entry.data, at);
      fchownSync(fd, user.uid, user.gid);
      fchmodSync(fd, (entry.mode || 0o644) & 0o7777);
      if (modifiedAt !== undefined) futimesSync(fd, modifiedAt, modifiedAt);
    } catch (error) {
      unlinkSync(path);
      throw error;
    } finally {
      closeSync(fd);
    }
  });
}

function writeLink(
  folder: Anchor,
  name: Buffer,
  { symlinkTarget }: TreeEntry,
  user: User,
  modifiedAt: number | undefined,
): void {
  putInPlace(folder, name, (path) => {
    symlinkSync(Buffer.from(symlinkTarget), path);
    lchownSync(path, user.uid, user.gid);
    if (modifiedAt !== undefined) lutimesSync(path, modifiedAt, modifiedAt);
  });
}

/** Makes something that is not there yet at once, and what is there is replaced atomically. */
function putInPlace(folder: Anchor, name: Buffer, make: (path: string | Buffer) => void): void {
  const path = folder.at(name);
  try {
    return make(path);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
  const former = lstatSync(path);
  if (former.isDirectory()) {
    throw new Fault(ErrorReason.IS_DIRECTORY, `a folder is at ${name.toString()}`);
  }
  if (!former.isFile() && !former.isSymbolicLink()) {
    throw new Fault(ErrorReason.FILE_EXISTS, `a device, pipe or socket is at ${name.toString()}`);
  }
  const temporary = folder.at(temporaryName(true));
  make(temporary);
  try {
    renameSync(temporary, path);
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  }
}

/** Folders of a tree by their names, opened once. */
class OpenFolders implements Disposable {
  readonly #root: Anchor;
  readonly #user: User;
  readonly #open = new Map<string, Anchor>();

  constructor(root: Anchor, user: User) {
    this.#root = root;
    this.#user = user;
  }

  open(names: readonly Buffer[]): Anchor {
    const key = names.map((name) => name.toString("latin1")).join("/");
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    const folder = openBelow(this.#root, names, this.#user);
    this.#open.set(key, folder);
    const [oldest] = this.#open;
    if (oldest !== undefined && this.#open.size > MOST_OPEN) {
      this.#open.delete(oldest[0]);
      oldest[1][Symbol.dispose]();
    }
    return folder;
  }

  [Symbol.dispose](): void {
    for (const folder of this.#open.values()) folder[Symbol.dispose]();
  }
}

function toFailure(path: Uint8Array, error: unknown): Failure {
  const fault = fileFault(error, Buffer.from(path).toString());
  if (!(fault instanceof Fault)) throw error;
  return { path, message: fault.message, reason: ErrorReason[fault.reason] };
}
