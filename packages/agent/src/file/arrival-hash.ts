import { createHash } from "node:crypto";
import type { ReadBack } from "./block-hashes.js";

/** Pieces ahead of their turn that are held; those in flight at a time are fewer. */
const MOST_HELD = 8;

/** Bytes read back at a time. */
const CHUNK_BYTES = 1 << 20;

/** SHA-256 of a file whose pieces arrive roughly in order, computed as they arrive. */
export class ArrivalHash {
  readonly #ahead = new Map<number, Uint8Array>();
  #hash = createHash("sha256");
  #end = 0;
  /** Something that is in the hash already came again, perhaps with other bytes. */
  #rewritten = false;

  /** Takes a piece. */
  add(offset: number, data: Uint8Array): void {
    if (data.length === 0) return;
    if (offset < this.#end) this.#rewritten = true;
    else if (offset === this.#end) this.#take(data);
    else if (this.#ahead.size < MOST_HELD) this.#ahead.set(offset, data);
  }

  /**
   * The hash of a file of this size; what could not be hashed on its way is read back.
   */
  async digest(size: number, read: ReadBack): Promise<Buffer> {
    this.#ahead.clear();
    if (this.#rewritten || this.#end > size) {
      this.#hash = createHash("sha256");
      this.#end = 0;
      this.#rewritten = false;
    }
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - this.#end));
    while (this.#end < size) {
      const count = await read(buffer, this.#end);
      if (count === 0) break;
      this.#hash.update(buffer.subarray(0, count));
      this.#end += count;
    }
    return this.#hash.copy().digest();
  }

  #take(data: Uint8Array): void {
    let next: Uint8Array | undefined = data;
    while (next !== undefined) {
      this.#hash.update(next);
      this.#end += next.length;
      next = this.#ahead.get(this.#end);
      this.#ahead.delete(this.#end);
    }
    // Overlapped by what has been hashed by now.
    for (const offset of this.#ahead.keys()) {
      if (offset < this.#end) {
        this.#ahead.delete(offset);
        this.#rewritten = true;
      }
    }
  }
}
