import { webcrypto } from "node:crypto";
import { constants, readlinkSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import type { ReadResponseSchema } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { UserDatabase } from "../guest/users.js";
import { describe, versionOf } from "./file-info.js";
import type { Paths } from "./paths.js";

type Part = MessageInitShape<typeof ReadResponseSchema>;

const { subtle } = webcrypto;

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
  // Not up to the size: files of /proc have none, and a log may grow while it is read.
  const content = new Content(file, Number(range.offset), Number(range.length ?? Infinity));
  yield* range.checksums ? content.withChecksums(stats.size) : content.plain(stats.size);
}

/** What is in an open file, from a position on. */
class Content {
  readonly #file: FileHandle;
  #position: number;
  #left: number;

  constructor(file: FileHandle, position: number, length: number) {
    this.#file = file;
    this.#position = position;
    this.#left = length;
  }

  async *plain(sizeHint: number): AsyncGenerator<Part> {
    for (;;) {
      const chunk = Buffer.allocUnsafeSlow(this.#room(CHUNK_BYTES, sizeHint));
      const count = await this.#read(chunk);
      if (count === 0) return;
      yield { part: { case: "data", value: chunk.subarray(0, count) } };
    }
  }

  /** In blocks, each with its checksum, which another thread computes while the block is sent. */
  async *withChecksums(sizeHint: number): AsyncGenerator<Part> {
    for (let isEnd = false; !isEnd;) {
      const block = await this.#readBlock(sizeHint);
      isEnd = block.length < CHECKSUM_BYTES;
      const checksum = subtle.digest("SHA-256", block);
      for (let at = 0; at < block.length; at += CHUNK_BYTES) {
        yield { part: { case: "data", value: block.subarray(at, at + CHUNK_BYTES) } };
      }
      yield { part: { case: "checksum", value: { sha256: new Uint8Array(await checksum) } } };
    }
  }

  /** A whole block, or all that is left. */
  async #readBlock(sizeHint: number): Promise<Buffer<ArrayBuffer>> {
    const pieces: Buffer<ArrayBuffer>[] = [];
    for (let missing = CHECKSUM_BYTES; ;) {
      const piece = Buffer.allocUnsafeSlow(this.#room(missing, sizeHint));
      const filled = await this.#fill(piece);
      pieces.push(piece.subarray(0, filled));
      missing -= filled;
      // One that has grown, or says no size, goes on.
      if (filled < piece.length || missing === 0 || this.#left === 0) break;
    }
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
  }

  /** Less than all only at the end. */
  async #fill(buffer: Buffer): Promise<number> {
    let filled = 0;
    while (filled < buffer.length) {
      const count = await this.#read(buffer.subarray(filled));
      if (count === 0) break;
      filled += count;
    }
    return filled;
  }

  async #read(buffer: Buffer): Promise<number> {
    const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.#position);
    this.#position += bytesRead;
    this.#left -= bytesRead;
    return bytesRead;
  }

  /** Room for what is left of a small file, and a page to find its end with. */
  #room(most: number, sizeHint: number): number {
    return Math.min(most, this.#left, Math.max(0, sizeHint - this.#position) + (4 << 10));
  }
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
