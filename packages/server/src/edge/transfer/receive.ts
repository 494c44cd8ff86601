import type { AgentFiles } from "./agent-files.js";

/** One message to the agent. */
const PART_BYTES = 256 << 10;
/** Messages on their way at once, each held in memory. */
const MOST_PARTS = 4;
/** A part that takes longer than this has no agent. */
const PART_TIMEOUT_MS = 60_000;

/** Where the bytes of a body go. */
export interface Target {
  uploadId: string;
  offset: number;
  /** Most bytes to take; more than that is the caller's mistake and dropped. */
  most: number;
}

/**
 * Hands a body to the agent, a few parts at a time: a slow machine slows the
 * client. Where the body breaks off, what has arrived of it is handed over
 * before the error is thrown.
 *
 * @returns the bytes that the body had, those beyond `most` included.
 */
export async function receive(
  files: AgentFiles,
  { uploadId, offset, most }: Target,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<number> {
  const parts = new Set<Promise<unknown>>();
  let failed: { error: unknown } | undefined;
  let gathered: Uint8Array[] = [];
  let gatheredBytes = 0;
  let taken = 0;
  let received = 0;

  const handOver = async () => {
    const data = Buffer.concat(gathered, gatheredBytes);
    const place = BigInt(offset + taken - gatheredBytes);
    gathered = [];
    gatheredBytes = 0;
    const part = files
      .uploadPart({ uploadId, offset: place, data }, { signal, timeoutMs: PART_TIMEOUT_MS })
      .catch((error: unknown) => {
        failed ??= { error };
      })
      .finally(() => parts.delete(part));
    parts.add(part);
    if (parts.size >= MOST_PARTS) await Promise.race(parts);
  };

  const end = async () => {
    if (gatheredBytes > 0) await handOver();
    await Promise.all(parts);
    if (failed !== undefined) throw failed.error;
  };

  try {
    for await (let chunk of body) {
      received += chunk.length;
      // A single chunk may be larger than a part.
      while (chunk.length > 0 && taken < most) {
        const room = Math.min(PART_BYTES - gatheredBytes, most - taken);
        const piece = chunk.subarray(0, room);
        chunk = chunk.subarray(piece.length);
        gathered.push(piece);
        gatheredBytes += piece.length;
        taken += piece.length;
        if (gatheredBytes === PART_BYTES) await handOver();
        if (failed !== undefined) throw failed.error;
      }
    }
  } catch (error) {
    await end();
    throw error;
  }
  await end();
  return received;
}
