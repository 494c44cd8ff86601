import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import type { ReadResponseSchema } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { UserDatabase } from "../guest/users.js";
import { describe } from "./file-info.js";
import type { Place } from "./paths.js";

type Part = MessageInitShape<typeof ReadResponseSchema>;

const CHUNK_BYTES = 256 << 10;

/**
 * Streams a file: its info, then its bytes from an offset on, `length` of them
 * or up to the end. The next ones are read when the consumer asks for them.
 *
 * @throws Fault unless it is a plain file; system errors.
 */
export async function* readFile(
  { path, real }: Place,
  offset: bigint,
  length: bigint | undefined,
  users: UserDatabase,
): AsyncGenerator<Part> {
  // A pipe without a writer would hold up a thread for ever if it were opened to wait.
  await using file = await open(real, constants.O_RDONLY | constants.O_NONBLOCK);
  const stats = await file.stat();
  if (!stats.isFile()) throw notAFile(path, stats.isDirectory());
  yield { part: { case: "info", value: describe(path, stats, users) } };
  let position = Number(offset);
  let left = length === undefined ? Number.POSITIVE_INFINITY : Number(length);
  // Not up to the size: files of /proc have none, and a log may grow while it is read.
  while (left > 0) {
    const chunk = Buffer.allocUnsafeSlow(
      Math.min(CHUNK_BYTES, left, sizeHint(stats.size, position)),
    );
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    left -= bytesRead;
    yield { part: { case: "data", value: chunk.subarray(0, bytesRead) } };
  }
}

/** Room for what is left of a small file, and a page to find its end with. */
function sizeHint(size: number, position: number): number {
  return Math.max(0, size - position) + (4 << 10);
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
