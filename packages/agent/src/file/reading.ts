import { createHash } from "node:crypto";
import { constants, readlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import type { ReadResponseSchema } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { UserDatabase } from "../guest/users.js";
import { describe, versionOf } from "./file-info.js";
import type { Paths } from "./paths.js";

type Part = MessageInitShape<typeof ReadResponseSchema>;

const CHUNK_BYTES = 256 << 10;

/** Bytes that a checksum stands for. */
const CHECKSUM_BYTES = 4 << 20;

/** What of a file is read. */
export interface ReadRange {
  offset: bigint;
  /** To the end when it is not said. */
  length?: bigint | undefined;
  /** Read only this version; any when empty. */
  ifVersion: string;
  checksums: boolean;
}

/**
 * Streams a file: its info, then its bytes from an offset on, `length` of them
 * or up to the end. The next ones are read when the consumer asks for them.
 *
 * @throws Fault unless it is a plain file, of the version that is wanted; system errors.
 */
export async function* readFile(
  paths: Paths,
  path: string,
  range: ReadRange,
  users: UserDatabase,
): AsyncGenerator<Part> {
  const place = paths.target(path);
  // A pipe without a writer would hold up a thread for ever if it were opened to wait.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
  await using file = await open(place.real, flags);
  paths.admit(place, readlinkSync(`/proc/self/fd/${file.fd}`));
  const stats = await file.stat();
  if (!stats.isFile()) throw notAFile(place.path, stats.isDirectory());
  if (range.ifVersion !== "" && range.ifVersion !== versionOf(stats)) throw changed(place.path);
  yield { part: { case: "info", value: describe(place.path, stats, users) } };
  const checksum = range.checksums ? new BlockChecksum() : undefined;
  let position = Number(range.offset);
  let left = range.length === undefined ? Number.POSITIVE_INFINITY : Number(range.length);
  // Not up to the size: files of /proc have none, and a log may grow while it is read.
  while (left > 0) {
    const size = Math.min(CHUNK_BYTES, left, sizeHint(stats.size, position));
    const chunk = Buffer.allocUnsafeSlow(size);
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    left -= bytesRead;
    const data = chunk.subarray(0, bytesRead);
    yield { part: { case: "data", value: data } };
    if (checksum?.add(data) === true) yield checksum.take();
  }
  if (checksum !== undefined) yield checksum.take();
}

class BlockChecksum {
  #hash = createHash("sha256");
  #bytes = 0;

  /** Says whether it is time to take the checksum. */
  add(data: Buffer): boolean {
    this.#hash.update(data);
    this.#bytes += data.length;
    return this.#bytes + CHUNK_BYTES > CHECKSUM_BYTES;
  }

  take(): Part {
    const sha256 = this.#hash.digest();
    this.#hash = createHash("sha256");
    this.#bytes = 0;
    return { part: { case: "checksum", value: { sha256 } } };
  }
}

/** Room for what is left of a small file, and a page to find its end with. */
function sizeHint(size: number, position: number): number {
  return Math.max(0, size - position) + (4 << 10);
}

function changed(path: string): Fault {
  return new Fault(ErrorReason.FILE_CHANGED, `${path} has changed since it was first read`, {
    remedy: "Read it anew from its beginning.",
    details: { path },
  });
}

function notAFile(path: string, isDirectory: boolean): Fault {
  const details = { path };
  if (isDirectory) {
    return new Fault(ErrorReason.IS_DIRECTORY, `${path} is a folder`, {
      remedy: "Name a file, or list the folder.",
      details,
    });
  }
  return new Fault(ErrorReason.INVALID_ARGUMENT, `${path} is a device, pipe or socket`, {
    remedy: "Read it with a command, as head or dd.",
    details,
  });
}
