import type { Readable } from "node:stream";

/** Longest message of the protocol over TCP. */
export const MAX_MESSAGE_BYTES = 65_535;

/** A message with its length before it, as it goes over TCP. */
export function framed(message: Buffer): Buffer {
  const length = Buffer.allocUnsafe(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** Yields each message of a stream. Ends at one that is longer than `maxBytes`. */
export async function* messagesOf(stream: Readable, maxBytes: number): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  for await (const chunk of stream) {
    if (!(chunk instanceof Buffer)) return;
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 2) {
      const length = rest.readUInt16BE(0);
      if (length > maxBytes) return;
      if (rest.length < 2 + length) break;
      yield rest.subarray(2, 2 + length);
      rest = rest.subarray(2 + length);
    }
  }
}
