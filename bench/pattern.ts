import { randomBytes } from "node:crypto";

const BLOCK_BYTES = 1 << 20;
const BLOCK = randomBytes(BLOCK_BYTES);

/** An endless run of bytes that nothing can compress, the same each time. */
export class Pattern {
  #at = 0;

  /** The next bytes: `length` of them, or fewer where its block ends. */
  next(length: number): Buffer {
    const piece = BLOCK.subarray(this.#at, this.#at + length);
    this.#at = (this.#at + piece.length) % BLOCK_BYTES;
    return piece;
  }

  /** @throws Error unless these are the next bytes. */
  expect(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const piece = this.next(bytes.length - at);
      if (!piece.equals(bytes.subarray(at, at + piece.length))) {
        throw new Error("other bytes came back than were sent");
      }
      at += piece.length;
    }
  }
}
