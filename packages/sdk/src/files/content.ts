import type { FileContent } from "./options.js";

/** The pieces of a file's content, whatever it was given as. */
export async function* piecesOf(content: FileContent): AsyncGenerator<Uint8Array, void, undefined> {
  if (typeof content === "string") yield new TextEncoder().encode(content);
  else if (content instanceof Uint8Array) yield content;
  else if (content instanceof ArrayBuffer) yield new Uint8Array(content);
  else if (content instanceof Blob) yield* readAll(content.stream());
  else if (Symbol.asyncIterator in content) {
    for await (const piece of content) {
      yield typeof piece === "string" ? new TextEncoder().encode(piece) : piece;
    }
  } else yield* readAll(content);
}

/** Not every browser's ReadableStream can be looped over. */
async function* readAll(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = stream.getReader();
  let finished = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      finished = done;
      if (done) return;
      yield value;
    }
  } finally {
    if (!finished) await reader.cancel();
  }
}

/**
 * Cuts pieces of any size into blocks of `blockBytes`, the last one shorter.
 * Each block is a copy: whoever gave the pieces may use their memory again.
 */
export async function* blocksOf(
  pieces: AsyncIterable<Uint8Array>,
  blockBytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let block = new Uint8Array(blockBytes);
  let filled = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      const take = Math.min(piece.length - at, blockBytes - filled);
      block.set(piece.subarray(at, at + take), filled);
      at += take;
      filled += take;
      if (filled === blockBytes) {
        yield block;
        block = new Uint8Array(blockBytes);
        filled = 0;
      }
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}
