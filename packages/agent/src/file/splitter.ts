/**
 * Cuts a stream of pieces into records that end with one byte. A record that is
 * longer than a bound is left out, and counted; it is never held.
 */
export class Splitter {
  readonly #end: number;
  readonly #mostBytes: number;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #skipping = false;
  /** Records that were too long. */
  skipped = 0;

  constructor(end: number, mostBytes: number) {
    this.#end = end;
    this.#mostBytes = mostBytes;
  }

  /** Takes the next piece and gives the records that it completes, without their ends. */
  push(piece: Buffer): Buffer[] {
    const records: Buffer[] = [];
    for (let start = 0; start < piece.length;) {
      const at = piece.indexOf(this.#end, start);
      const part = piece.subarray(start, at < 0 ? piece.length : at);
      start += part.length + 1;
      if (!this.#skipping) this.#hold(part);
      if (at < 0) break;
      if (!this.#skipping) records.push(this.#take());
      this.#skipping = false;
    }
    return records;
  }

  #hold(part: Buffer): void {
    this.#held.push(part);
    this.#heldBytes += part.length;
    if (this.#heldBytes <= this.#mostBytes) return;
    this.skipped++;
    this.#skipping = true;
    this.#take();
  }

  #take(): Buffer {
    const [only] = this.#held;
    const record = this.#held.length === 1 && only !== undefined ? only : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    return record;
  }
}
