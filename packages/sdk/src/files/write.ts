import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { concatBytes } from "../bytes.js";
import { abortUpload } from "./abort-upload.js";
import { blocksOf, piecesOf } from "./content.js";
import { type FileInfo, fromInfoMessage } from "./info.js";
import type { FileContent, WriteOptions } from "./options.js";

/** The most that goes in a single call. */
const SMALL_FILE_BYTES = 1024 * 1024;
/** Bytes in one part of an upload. */
const PART_BYTES = 512 * 1024;
/** Parts on their way at a time: enough to hide the round trip, little to hold in memory. */
const PARTS_IN_FLIGHT = 4;

/**
 * Writes a file atomically: a small one in one call, a larger one or one of
 * unknown length in parts. Holds a few parts in memory, never the whole.
 */
export async function writeFile(
  agent: AgentConnection,
  path: string,
  content: FileContent,
  options: WriteOptions,
): Promise<FileInfo> {
  const target = { path, mode: options.mode ?? 0, user: options.user ?? "" };
  const blocks = blocksOf(piecesOf(content), PART_BYTES);
  try {
    const head: Uint8Array[] = [];
    let headBytes = 0;
    while (headBytes <= SMALL_FILE_BYTES) {
      const next = await blocks.next();
      if (next.done === true) {
        const data = concatBytes(head, headBytes);
        const { info } = await agent.unary(
          options,
          (attempt) => agent.files.write({ ...target, data }, attempt),
          { idempotent: true },
        );
        return fromInfoMessage(info);
      }
      head.push(next.value);
      headBytes += next.value.length;
    }
    return await upload(agent, target, prepend(head, blocks), options);
  } finally {
    await blocks.return();
  }
}

async function* prepend<T>(head: T[], rest: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  // Shifted, not looped over, so that each block is let go of as it is sent.
  for (let next = head.shift(); next !== undefined; next = head.shift()) yield next;
  yield* rest;
}

async function upload(
  agent: AgentConnection,
  target: { path: string; mode: number; user: string },
  blocks: AsyncGenerator<Uint8Array, void, undefined>,
  options: CallOptions,
): Promise<FileInfo> {
  const { uploadId } = await agent.unary(options, (attempt) =>
    agent.files.beginUpload(target, attempt),
  );
  try {
    const size = await sendParts(agent, uploadId, blocks, options);
    const { info } = await agent.unary(options, (attempt) =>
      agent.files.commitUpload({ uploadId, size: BigInt(size) }, attempt),
    );
    return fromInfoMessage(info);
  } catch (error) {
    await abortUpload(agent, uploadId);
    throw error;
  }
}

/** Sends the blocks as parts, several at a time, and gives their bytes in all. */
async function sendParts(
  agent: AgentConnection,
  uploadId: string,
  blocks: AsyncGenerator<Uint8Array, void, undefined>,
  options: CallOptions,
): Promise<number> {
  const failed = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
  let offset = 0;

  // Each sender takes the next block when its last one has arrived. The
  // generator queues their requests, so blocks are read one after the other.
  const sender = async () => {
    while (!failed.signal.aborted) {
      const { done, value: data } = await blocks.next();
      if (done === true) return;
      const part = { uploadId, offset: BigInt(offset), data };
      offset += data.length;
      await agent.unary(
        { ...options, signal },
        (attempt) => agent.files.uploadPart(part, attempt),
        { idempotent: true },
      );
    }
  };
  // The first failure is the reason; it cancels the other senders.
  const guarded = () => sender().catch((error: unknown) => failed.abort(error));
  await Promise.all(Array.from({ length: PARTS_IN_FLIGHT }, guarded));
  failed.signal.throwIfAborted();
  return offset;
}
