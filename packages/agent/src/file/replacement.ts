import type { Stats } from "node:fs";
import { type FileHandle, lstat, open, rename, rm } from "node:fs/promises";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { randomBytes } from "../guest/random.js";
import type { User } from "../guest/users.js";
import type { Name, Spot } from "./anchor.js";
import { errorCode } from "./file-fault.js";

/** Permission bits of a file that nobody has said anything about. */
const FILE_MODE = 0o644;

// native/file-watcher.c knows them, too.
const TEMPORARY = /^\.nullspace-(new-)?[0-9a-f]{32}$/;

/** Whether a name is that of a file on its way to its place, which nobody is to see. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name);
}

/**
 * A name for a file on its way to its place. It tells those who watch whether
 * the file takes another's place there.
 */
export function temporaryName(replaces: boolean): string {
  return `.nullspace-${replaces ? "" : "new-"}${randomBytes(16).toString("hex")}`;
}

/** What a file becomes. */
export interface NewFile {
  /** Who owns it if it did not exist. */
  user: User;
  /** Its permission bits if it did not exist; 0 for the usual ones. */
  mode: number;
  /** One that is replaced takes on the permission bits, too. */
  replaceMode?: boolean;
  /** When it was modified, in milliseconds since the epoch; now where it is not said. */
  modifiedAt?: number | undefined;
}

/**
 * A file that takes another's place at once: it grows beside it, under a name
 * of its own, and {@link commit} renames it. Disposing removes it before that.
 */
export class Replacement implements AsyncDisposable {
  readonly spot: Spot;
  /** Name of the growing file, beside the one it will replace. */
  readonly temporary: string;
  readonly #handle: FileHandle;
  #done = false;

  private constructor(spot: Spot, temporary: string, handle: FileHandle) {
    this.spot = spot;
    this.temporary = temporary;
    this.#handle = handle;
  }

  /**
   * Begins a replacement of a file, there or not. The spot is the replacement's from now on.
   *
   * @throws Fault when something else than a file is there; system errors.
   */
  static async begin(spot: Spot): Promise<Replacement> {
    try {
      const former = await statIfThere(spot.file);
      refuseOthers(spot.path, former);
      const temporary = temporaryName(former !== undefined);
      return new Replacement(spot, temporary, await open(spot.folder.at(temporary), "wx+", 0o600));
    } catch (error) {
      spot[Symbol.dispose]();
      throw error;
    }
  }

  /** Writes all of the bytes at an offset. */
  async write(data: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < data.length;) {
      const { bytesWritten } = await this.#handle.write(data, at, data.length - at, offset + at);
      at += bytesWritten;
    }
  }

  /** Reads bytes back; fewer than asked for only at the end. */
  async read(buffer: Buffer, offset: number): Promise<number> {
    return (await this.#handle.read(buffer, 0, buffer.length, offset)).bytesRead;
  }

  /** Cuts off what lies beyond a size. */
  truncate(size: number): Promise<void> {
    return this.#handle.truncate(size);
  }

  /** Puts the file in its place. One that it replaces leaves it its owner and permission bits. */
  async commit({ user, mode, replaceMode, modifiedAt }: NewFile): Promise<void> {
    const { path, file, folder } = this.spot;
    const former = await statIfThere(file);
    refuseOthers(path, former);
    const kept = replaceMode === true && mode > 0 ? undefined : former?.mode;
    await this.#handle.chown(former?.uid ?? user.uid, former?.gid ?? user.gid);
    await this.#handle.chmod((kept ?? (mode || FILE_MODE)) & 0o7777);
    if (modifiedAt !== undefined) await this.#handle.utimes(modifiedAt / 1000, modifiedAt / 1000);
    await rename(folder.at(this.temporary), file);
    this.#done = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    using spot = this.spot;
    await this.#handle.close();
    if (!this.#done) await rm(spot.folder.at(this.temporary), { force: true });
  }
}

async function statIfThere(path: Name): Promise<Stats | undefined> {
  try {
    // The way there has been followed to its end: a link is one that was put there since.
    return await lstat(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** A rename would remove a device or a pipe where its user meant to write to it. */
function refuseOthers(path: string, stats: Stats | undefined): void {
  if (stats === undefined || stats.isFile()) return;
  const [reason, what] = stats.isDirectory()
    ? [ErrorReason.IS_DIRECTORY, "a folder"]
    : [ErrorReason.FILE_EXISTS, "no plain file"];
  throw new Fault(reason, `${path} is ${what}`, {
    remedy: "Choose another path, or remove what is there first.",
    details: { path },
  });
}
