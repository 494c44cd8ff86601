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
import { walk, type Step } from "./walking.js";

type Response = MessageInitShape<typeof ReadTreeResponseSchema>;
type Entry = MessageInitShape<typeof TreeEntrySchema>;

const read = promisify(readCallback);

/** Data in one message, and in one piece of a file that is larger. */
const MESSAGE_BYTES = 256 << 10;

/** What an entry costs besides its data, roughly. */
const ENTRY_BYTES = 96;

/** Files up to this size are read without the thread pool, whose way there and back costs more. */
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
  let entries: Entry[] = [];
  let bytes = 0;
  const take = (): Response => {
    const response = { entries, sha256: treeChecksum(entries) };
    entries = [];
    bytes = 0;
    return response;
  };
  for await (const entry of entriesOf(root, start)) {
    entries.push(entry);
    bytes += ENTRY_BYTES + (entry.path?.length ?? 0) + (entry.data?.length ?? 0);
    if (bytes >= MESSAGE_BYTES) yield take();
  }
  if (entries.length > 0) yield take();
}

async function* entriesOf(root: Anchor, { after, offset, except }: TreeStart) {
  const names = after === undefined ? undefined : splitBelow(after);
  if (names === undefined)
    yield folderEntry(new Uint8Array(), lstatSync(`${root.path}/.`, { bigint: true }));
  else if (offset > 0) yield* restOf(root, names, offset);
  for await (const step of walk(root, { except, after: names })) {
    try {
      yield* entryOf(step);
    } catch (error) {
      // Gone, or another thing by now: it was not there at the moment we came by.
      const code = errorCode(error);
      if (code !== "ENOENT" && code !== "ELOOP" && code !== "ENXIO") throw error;
    }
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
    yield* fileEntries(folder.at(name), path, offset);
  } catch (error) {
    // It is gone: what has arrived is all there is of it.
    if (errorCode(error) !== "ENOENT") throw error;
  } finally {
    folder[Symbol.dispose]();
  }
}

async function* entryOf({ folder, name, path, entry }: Step): AsyncGenerator<Entry> {
  const file = folder.at(name);
  if (entry.isFile()) {
    yield* fileEntries(file, path, 0);
    return;
  }
  const stats = lstatSync(file, { bigint: true });
  const base = { path, mode: Number(stats.mode & 0o7777n), modifiedAt: toTimestamp(stats) };
  if (stats.isDirectory()) yield folderEntry(path, stats);
  else if (stats.isSymbolicLink()) {
    const symlinkTarget = readlinkSync(file, { encoding: "buffer" });
    yield { ...base, type: FileType.SYMLINK, symlinkTarget };
  } else yield { ...base, type: FileType.OTHER };
}

function folderEntry(path: Uint8Array, stats: BigIntStats): Entry {
  const mode = Number(stats.mode & 0o7777n);
  return { path, type: FileType.DIRECTORY, mode, modifiedAt: toTimestamp(stats) };
}

async function* fileEntries(
  file: string | Buffer,
  path: Buffer,
  from: number,
): AsyncGenerator<Entry> {
  const fd = openSync(file, OPEN);
  try {
    const stats = fstatSync(fd, { bigint: true });
    if (!stats.isFile()) return;
    const size = Number(stats.size);
    const mode = Number(stats.mode & 0o7777n);
    const common = {
      path,
      type: fileType(stats),
      mode,
      modifiedAt: toTimestamp(stats),
      size: stats.size,
    };
    for (let offset = from; ;) {
      const length = Math.min(MESSAGE_BYTES, Math.max(0, size - offset));
      const buffer = Buffer.allocUnsafe(length);
      const count = await fill(fd, buffer, offset, size > SMALL_BYTES);
      const data = buffer.subarray(0, count);
      // One that grows meanwhile is sent as long as it was when it was opened.
      const last = offset + count >= size || count < length;
      yield { ...common, offset: BigInt(offset), data, last };
      if (last) return;
      offset += count;
    }
  } finally {
    closeSync(fd);
  }
}

async function fill(
  fd: number,
  buffer: Buffer,
  offset: number,
  threaded: boolean,
): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const left = buffer.length - filled;
    const count = threaded
      ? (await read(fd, buffer, filled, left, offset + filled)).bytesRead
      : readSync(fd, buffer, filled, left, offset + filled);
    if (count === 0) break;
    filled += count;
  }
  return filled;
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
