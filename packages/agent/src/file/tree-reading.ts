import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  read as readCallback,
  readSync,
  readlinkSync,
  type BigIntStats,
} from "node:fs";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  FileType,
  type ReadTreeResponseSchema,
  type TreeEntrySchema,
} from "@nullspace/proto/agent";
import type { Anchor } from "./anchor.js";
import { errorCode } from "./file-fault.js";
import { fileType } from "./file-info.js";
import { splitBelow } from "./names.js";
import { treeChecksum } from "./tree-entry.js";
import { type Step, walkAtOnce } from "./walking.js";

type Response = MessageInitShape<typeof ReadTreeResponseSchema>;
type Entry = MessageInitShape<typeof TreeEntrySchema>;

const read = promisify(readCallback);

/** Data in one message, and in one piece of a file that is larger. */
const MESSAGE_BYTES = 256 << 10;

/** What an entry costs besides its data, roughly. */
const ENTRY_BYTES = 96;

/** Entries that are read before others get their turn. */
const BATCH = 32;

/** Files up to this size are read at once. */
const SMALL_BYTES = 64 << 10;

const OPEN = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Where a tree is read from. */
export interface TreeStart {
  /** The last entry that has arrived; the whole tree when it is not said. */
  after: Uint8Array | undefined;
  /** Over 0: only so many bytes of that entry have arrived. */
  offset: number;
  /** A path below the folder that is left out. */
  except: string | undefined;
}

/**
 * Streams a folder with all it holds: small files many to a message, larger
 * ones in pieces. The next message is made when the consumer asks for it.
 */
export async function* readTree(root: Anchor, start: TreeStart): AsyncGenerator<Response> {
  const { after, offset, except } = start;
  const names = after === undefined ? undefined : splitBelow(after);
  let message = new Message();
  if (names === undefined) {
    message.add(folderEntry(new Uint8Array(), lstatSync(`${root.path}/.`, { bigint: true })));
  } else if (offset > 0) {
    for await (const piece of restOf(root, names, offset)) {
      if (!message.add(piece)) continue;
      yield message.finish();
      message = new Message();
    }
  }
  let count = 0;
  for (const step of walkAtOnce(root, { except, after: names })) {
    if (++count % BATCH === 0) await setImmediate();
    const found = lookAt(step);
    if (found === undefined) continue;
    if (!(found instanceof OpenFile)) {
      if (!message.add(found)) continue;
      yield message.finish();
      message = new Message();
      continue;
    }
    using file = found;
    for await (const piece of file.pieces(0)) {
      if (!message.add(piece)) continue;
      yield message.finish();
      message = new Message();
    }
  }
  if (!message.isEmpty) yield message.finish();
}

/** Entries that are sent together. */
class Message {
  readonly #entries: Entry[] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Says whether it is full. */
  add(entry: Entry): boolean {
    this.#entries.push(entry);
    this.#bytes += ENTRY_BYTES + (entry.path?.length ?? 0) + (entry.data?.length ?? 0);
    return this.#bytes >= MESSAGE_BYTES;
  }

  finish(): Response {
    return { entries: this.#entries, sha256: treeChecksum(this.#entries) };
  }
}

async function* restOf(root: Anchor, names: Buffer[], offset: number): AsyncGenerator<Entry> {
  const name = names.at(-1);
  if (name === undefined) return;
  const path = Buffer.from(names.map((part) => part.toString("latin1")).join("/"), "latin1");
  let folder = root.descend(".");
  try {
    for (const next of names.slice(0, -1)) {
      using parent = folder;
      folder = parent.descend(next);
    }
    using file = openFile(folder.at(name), path);
    if (file !== undefined) yield* file.pieces(offset);
  } catch (error) {
    // It is gone: what has arrived is all there is of it.
    if (errorCode(error) !== "ENOENT") throw error;
  } finally {
    folder[Symbol.dispose]();
  }
}

/** An entry with all that is in it; a file that is too large for that; nothing where nothing is any more. */
function lookAt(step: Step): Entry | OpenFile | undefined {
  try {
    return entryOf(step);
  } catch (error) {
    // Gone, or another thing by now: it was not there at the moment we came by.
    const code = errorCode(error);
    if (code !== "ENOENT" && code !== "ELOOP" && code !== "ENXIO") throw error;
    return undefined;
  }
}

function entryOf({ folder, name, path, entry }: Step): Entry | OpenFile | undefined {
  const place = folder.at(name);
  if (entry.isFile()) {
    const file = openFile(place, path);
    if (file === undefined || file.size > SMALL_BYTES) return file;
    using small = file;
    return small.whole();
  }
  const stats = lstatSync(place, { bigint: true });
  const base = { path, mode: Number(stats.mode & 0o7777n), modifiedAt: toTimestamp(stats) };
  if (stats.isDirectory()) return folderEntry(path, stats);
  if (!stats.isSymbolicLink()) return { ...base, type: FileType.OTHER };
  const symlinkTarget = readlinkSync(place, { encoding: "buffer" });
  return { ...base, type: FileType.SYMLINK, symlinkTarget };
}

function folderEntry(path: Uint8Array, stats: BigIntStats): Entry {
  const mode = Number(stats.mode & 0o7777n);
  return { path, type: FileType.DIRECTORY, mode, modifiedAt: toTimestamp(stats) };
}

/** Opens a file, and nothing else that may be there by now. */
function openFile(place: string | Buffer, path: Buffer): OpenFile | undefined {
  const fd = openSync(place, OPEN);
  try {
    const stats = fstatSync(fd, { bigint: true });
    if (stats.isFile()) return new OpenFile(fd, path, stats);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  return undefined;
}

class OpenFile implements Disposable {
  readonly size: number;
  readonly #fd: number;
  readonly #common: Entry;

  constructor(fd: number, path: Buffer, stats: BigIntStats) {
    this.#fd = fd;
    this.size = Number(stats.size);
    const mode = Number(stats.mode & 0o7777n);
    const modifiedAt = toTimestamp(stats);
    this.#common = { path, type: fileType(stats), mode, modifiedAt, size: stats.size };
  }

  /** All of a small file, read without the thread pool, whose way there and back costs more. */
  whole(): Entry {
    const data = Buffer.allocUnsafe(this.size);
    let filled = 0;
    while (filled < data.length) {
      const count = readSync(this.#fd, data, filled, data.length - filled, filled);
      if (count === 0) break;
      filled += count;
    }
    return { ...this.#common, data: data.subarray(0, filled), last: true };
  }

  /** What is in the file from an offset on. */
  async *pieces(from: number): AsyncGenerator<Entry> {
    for (let offset = from; ;) {
      const data = Buffer.allocUnsafe(Math.min(MESSAGE_BYTES, Math.max(0, this.size - offset)));
      let filled = 0;
      while (filled < data.length) {
        const left = data.length - filled;
        const { bytesRead } = await read(this.#fd, data, filled, left, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      // One that grows meanwhile is sent as long as it was when it was opened.
      const last = offset + filled >= this.size || filled < data.length;
      yield { ...this.#common, offset: BigInt(offset), data: data.subarray(0, filled), last };
      if (last) return;
      offset += filled;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function toTimestamp({
  mtimeNs,
}: BigIntStats): Pick<Timestamp, "seconds" | "nanos"> & { $typeName: Timestamp["$typeName"] } {
  const nanos = ((mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return {
    $typeName: "google.protobuf.Timestamp",
    seconds: (mtimeNs - nanos) / 1_000_000_000n,
    nanos: Number(nanos),
  };
}
