import type { Stats } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { randomBytes } from "../guest/random.js";
import type { User } from "../guest/users.js";
import { errorCode } from "./file-fault.js";
import { makeFolder } from "./folders.js";

/** Permission bits of a file that nobody has said anything about. */
const FILE_MODE = 0o644;

const TEMPORARY = /^\.nullspace-[0-9a-f]{32}$/;

/** Whether a name is that of a file on its way to its place, which nobody is to see. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name);
}

/** Who owns a file that did not exist, and with which permission bits; 0 for the usual ones. */
export interface NewFile {
  user: User;
  mode: number;
}

/**
 * A file that takes another's place at once: it grows beside it, under a name
 * of its own, and {@link commit} renames it. Disposing removes it before that.
 */
export class Replacement implements AsyncDisposable {
  readonly temporary: string;
  readonly #target: string;
  readonly #handle: FileHandle;
  #done = false;

  private constructor(target: string, temporary: string, handle: FileHandle) {
    this.#target = target;
    this.temporary = temporary;
    this.#handle = handle;
  }

  /**
   * Begins a replacement of a file, there or not. Missing parents are made and given to the user.
   *
   * @throws Fault when something else than a file is there; system errors.
   */
  static async begin(target: string, user: User): Promise<Replacement> {
    refuseOthers(target, await statIfThere(target));
    const temporary = join(dirname(target), `.nullspace-${randomBytes(16).toString("hex")}`);
    const create = () => open(temporary, "wx", 0o600);
    try {
      return new Replacement(target, temporary, await create());
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
    await makeFolder(dirname(target), user);
    return new Replacement(target, temporary, await create());
  }

  /** Writes all of the bytes at an offset. */
  async write(data: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < data.length;) {
      const { bytesWritten } = await this.#handle.write(data, at, data.length - at, offset + at);
      at += bytesWritten;
    }
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  /** Puts the file in its place. One that it replaces leaves it its owner and permission bits. */
  async commit({ user, mode }: NewFile): Promise<void> {
    const former = await statIfThere(this.#target);
    refuseOthers(this.#target, former);
    await this.#handle.chown(former?.uid ?? user.uid, former?.gid ?? user.gid);
    await this.#handle.chmod((former?.mode ?? (mode || FILE_MODE)) & 0o7777);
    await rename(this.temporary, this.#target);
    this.#done = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    if (!this.#done) await rm(this.temporary, { force: true });
  }
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
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
    : [ErrorReason.FILE_EXISTS, "a device, pipe or socket"];
  throw new Fault(reason, `${path} is ${what}`, {
    remedy: "Choose another path, or remove what is there first.",
    details: { path },
  });
}
