import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import {
  chmod,
  type FileHandle,
  lstat,
  lutimes,
  mkdir,
  open,
  realpath,
  rename,
  rm,
  symlink,
  utimes,
} from "node:fs/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { FileType, type TreeEntry } from "@nullspace/proto/agent";
import { ConflictError, InternalError, InvalidArgumentError } from "../errors.js";

const SLASH = Buffer.from("/");

/** Of a file that comes from a machine: nobody becomes another by running it. */
const KEPT_MODE = 0o777;

/** Files written at a time. */
const AT_ONCE = 16;

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

interface OpenFile {
  /** What the file was when its first piece was sent. */
  version: string;
  path: Buffer;
  temporary: Buffer;
  handle: FileHandle;
}

/**
 * A local folder that a tree is written to. The machine that sends the tree is
 * not trusted: nothing is written but below real folders of this very tree,
 * never through a link, whatever the tree says.
 */
export class LocalTree implements AsyncDisposable {
  readonly #localPath: string;
  #root = Buffer.alloc(0);
  /** Folders that are known to be folders, by the bytes of their paths. */
  readonly #folders = new Map<string, TreeEntry | undefined>();
  /** A file of which pieces are still to come. */
  #growing: OpenFile | undefined;

  constructor(localPath: string) {
    this.#localPath = localPath;
  }

  /** Writes entries, parents first. */
  async write(entries: readonly TreeEntry[]): Promise<void> {
    let batch: Promise<void>[] = [];
    for (const entry of entries) {
      const isWhole = entry.type === FileType.FILE && entry.offset === 0n && entry.last;
      const work = isWhole ? this.#writeWhole(entry) : this.#writeInTurn(entry, batch);
      batch.push(work);
      if (!isWhole || batch.length >= AT_ONCE) {
        await Promise.all(batch);
        batch = [];
      }
    }
    await Promise.all(batch);
  }

  /** Sets permissions and times of the folders, the deepest first. */
  async finish(): Promise<void> {
    for (const [path, entry] of [...this.#folders].toReversed()) {
      if (entry === undefined) continue;
      const folder = this.#at(Buffer.from(path, "latin1"));
      await chmod(folder, entry.mode & KEPT_MODE);
      const time = secondsOf(entry);
      if (time !== undefined) await utimes(folder, time, time);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#dropGrowing();
  }

  /** Of a file that is gone in the machine, the rest never comes. */
  async #dropGrowing(): Promise<void> {
    const growing = this.#growing;
    if (growing === undefined) return;
    this.#growing = undefined;
    await growing.handle.close();
    await rm(growing.temporary, { force: true });
  }

  async #writeInTurn(entry: TreeEntry, before: readonly Promise<void>[]): Promise<void> {
    await Promise.all(before);
    switch (entry.type) {
      case FileType.DIRECTORY:
        return this.#makeFolder(entry);
      case FileType.SYMLINK:
        return this.#makeLink(entry);
      case FileType.FILE:
        return this.#writePiece(entry);
      case FileType.OTHER:
      case FileType.UNSPECIFIED:
    }
    return undefined;
  }

  async #makeFolder(entry: TreeEntry): Promise<void> {
    const path = Buffer.from(entry.path);
    if (path.length === 0) {
      await mkdir(this.#localPath, { recursive: true });
      this.#root = await realpath(this.#localPath, { encoding: "buffer" });
      // The folder was there, or its name is the caller's choice: it stays as it is.
      this.#folders.set("", undefined);
      return;
    }
    const folder = this.#place(path);
    await mkdir(folder, { mode: 0o700 }).catch(async (error: unknown) => {
      if (!isCode(error, "EEXIST") || !(await lstat(folder)).isDirectory()) throw error;
    });
    this.#folders.set(path.toString("latin1"), entry);
  }

  async #makeLink(entry: TreeEntry): Promise<void> {
    const path = this.#place(Buffer.from(entry.path));
    const temporary = temporaryOf(path);
    await symlink(Buffer.from(entry.symlinkTarget), temporary);
    const time = secondsOf(entry);
    if (time !== undefined) await lutimes(temporary, time, time);
    await putInPlace(temporary, path);
  }

  async #writeWhole(entry: TreeEntry): Promise<void> {
    const path = this.#place(Buffer.from(entry.path));
    const temporary = temporaryOf(path);
    try {
      await using handle = await open(temporary, CREATE, 0o600);
      await handle.writeFile(entry.data);
      await finishFile(handle, entry);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await putInPlace(temporary, path);
  }

  async #writePiece(entry: TreeEntry): Promise<void> {
    const path = this.#place(Buffer.from(entry.path));
    const version = `${entry.size} ${entry.modifiedAt?.seconds} ${entry.modifiedAt?.nanos}`;
    if (entry.offset === 0n) {
      await this.#dropGrowing();
      const temporary = temporaryOf(path);
      const handle = await open(temporary, CREATE, 0o600);
      this.#growing = { version, path, temporary, handle };
    }
    const growing = this.#growing;
    if (growing === undefined || !growing.path.equals(path)) {
      throw new InternalError("the machine sent the end of a file without its beginning");
    }
    if (growing.version !== version) throw changed(path.toString());
    await writeAll(growing.handle, entry.data, Number(entry.offset));
    if (!entry.last) return;
    await finishFile(growing.handle, entry);
    await growing.handle.close();
    this.#growing = undefined;
    await putInPlace(growing.temporary, path);
  }

  /** Where an entry goes, if it may go there. */
  #place(path: Buffer): Buffer {
    const slash = path.lastIndexOf(SLASH);
    const name = path.subarray(slash + 1).toString("latin1");
    const parent = slash < 0 ? "" : path.subarray(0, slash).toString("latin1");
    const isPlain = name !== "" && name !== "." && name !== ".." && !name.includes("\0");
    if (isPlain && this.#folders.has(parent)) return this.#at(path);
    throw new InvalidArgumentError(
      `the machine sent ${JSON.stringify(path.toString())}, which lies in no folder that it sent`,
      { remedy: "Do not trust this machine." },
    );
  }

  #at(path: Buffer): Buffer {
    return Buffer.concat([this.#root, SLASH, path]);
  }
}

async function writeAll(handle: FileHandle, data: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < data.length;) {
    const { bytesWritten } = await handle.write(data, at, data.length - at, offset + at);
    at += bytesWritten;
  }
}

function changed(path: string): ConflictError {
  return new ConflictError(`${path} changed while the connection was lost`, {
    reason: "FILE_CHANGED",
    retryable: true,
  });
}

async function finishFile(handle: FileHandle, entry: TreeEntry): Promise<void> {
  await handle.chmod(entry.mode & KEPT_MODE);
  const time = secondsOf(entry);
  if (time !== undefined) await handle.utimes(time, time);
}

async function putInPlace(temporary: Buffer, path: Buffer): Promise<void> {
  try {
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function temporaryOf(path: Buffer): Buffer {
  const slash = path.lastIndexOf(SLASH);
  const name = `.nullspace-${randomBytes(8).toString("hex")}`;
  return Buffer.concat([path.subarray(0, slash + 1), Buffer.from(name)]);
}

function secondsOf({ modifiedAt }: TreeEntry): number | undefined {
  return modifiedAt && timestampMs(modifiedAt) / 1000;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
