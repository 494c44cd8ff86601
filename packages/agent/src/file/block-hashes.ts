import { createHash, webcrypto } from "node:crypto";
import { UPLOAD_BLOCK_BYTES as BLOCK_BYTES } from "@nullspace/proto/agent";

const { subtle } = webcrypto;

/** Fills a buffer from an offset on, and tells how many bytes there were. */
export type ReadBack = (buffer: Buffer, offset: number) => Promise<number>;

interface BlockHash {
  length: number;
  sha256: Uint8Array;
}

/**
 * Checksum of a file that arrives in pieces: SHA-256 of the SHA-256s of its blocks, in their
 * order. Blocks that arrive whole are hashed as they come, by other threads, in any order.
 */
export class BlockHashes {
  readonly #known = new Map<number, BlockHash>();

  /** Takes a piece; resolves when it has been hashed, if it can be. */
  async add(offset: number, data: Uint8Array): Promise<void> {
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.floor((offset + data.length - 1) / BLOCK_BYTES);
    const unknown = { length: 0, sha256: new Uint8Array() };
    let canBeKnown = offset % BLOCK_BYTES === 0 && first === last;
    for (let index = first; index <= last; index++) {
      // What comes another time may be other bytes: it is read back in the end.
      canBeKnown &&= !this.#known.has(index);
      this.#known.set(index, unknown);
    }
    const { buffer, byteOffset, length } = data;
    if (!canBeKnown || !(buffer instanceof ArrayBuffer)) return;
    const block = new Uint8Array(buffer, byteOffset, length);
    const sha256 = new Uint8Array(await subtle.digest("SHA-256", block));
    // Unless more of it has come meanwhile.
    if (this.#known.get(first) === unknown) this.#known.set(first, { length, sha256 });
  }

  /** The checksum of a file of this size. */
  async digest(size: number, read: ReadBack): Promise<Buffer> {
    const all = createHash("sha256");
    for (let offset = 0; offset < size; offset += BLOCK_BYTES) {
      const length = Math.min(BLOCK_BYTES, size - offset);
      const known = this.#known.get(offset / BLOCK_BYTES);
      all.update(known?.length === length ? known.sha256 : await hashOf(length, offset, read));
    }
    return all.digest();
  }
}

async function hashOf(length: number, offset: number, read: ReadBack): Promise<Buffer> {
  const block = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const count = await read(block.subarray(filled), offset + filled);
    if (count === 0) break;
    filled += count;
  }
  return createHash("sha256").update(block.subarray(0, filled)).digest();
}
