import type { OutputStream } from "@nullspace/proto/agent";

/** Bytes one of the streams wrote without the other writing in between. */
export interface OutputPiece {
  stream: OutputStream;
  /** Of its first byte, counted over both streams since the start. */
  offset: number;
  data: Buffer;
}

/** Output kept of a process that nobody reads at the moment. */
export const KEPT_BYTES = 1 << 20;

/**
 * Output kept of a process that somebody reads: more than can be on its way in
 * all the buffers in between, so that a reader whose connection breaks finds the
 * rest here when it comes back.
 */
export const KEPT_WHILE_READ = 4 << 20;

/** A process that alternates streams byte by byte must not make the bookkeeping outgrow the bytes. */
const MOST_RUNS = 1 << 14;

const FIRST_CAPACITY = 4 << 10;

interface Run {
  stream: OutputStream;
  offset: number;
}

/**
 * The last output of a process, both streams in the order of arrival, in a
 * ring that grows up to its limit and then drops the oldest.
 */
export class OutputLog {
  #ring = Buffer.allocUnsafeSlow(0);
  /** Where each run begins, the oldest first; neighbours differ in their stream. */
  #runs: Run[] = [];
  #start = 0;
  #end = 0;
  #limit = KEPT_BYTES;

  /** Offset of the oldest byte that is kept. */
  get start(): number {
    return this.#start;
  }

  /** Offset after the newest byte: the length of all output so far. */
  get end(): number {
    return this.#end;
  }

  /** Takes what a stream has written; the bytes are copied. */
  append(stream: OutputStream, data: Buffer): void {
    if (data.length === 0) return;
    if (this.#runs.at(-1)?.stream !== stream) this.#runs.push({ stream, offset: this.#end });
    this.#grow(this.#end - this.#start + data.length);
    // Of a chunk larger than the ring only the end survives.
    const kept = data.subarray(Math.max(0, data.length - this.#ring.length));
    this.#put(kept, this.#end + data.length - kept.length);
    this.#end += data.length;
    this.#drop();
  }

  /**
   * The output at an offset: at most `most` bytes, all of one stream, in a
   * buffer of their own. Nothing when there is none yet, or none any more.
   */
  read(offset: number, most: number): OutputPiece | undefined {
    if (offset < this.#start || offset >= this.#end) return undefined;
    const index = this.#runAt(offset);
    const run = this.#runs[index];
    if (run === undefined) return undefined;
    const runEnd = this.#runs[index + 1]?.offset ?? this.#end;
    const length = Math.min(most, runEnd - offset);
    const data = Buffer.allocUnsafe(length);
    const at = offset % this.#ring.length;
    const first = Math.min(length, this.#ring.length - at);
    this.#ring.copy(data, 0, at, at + first);
    this.#ring.copy(data, first, 0, length - first);
    return { stream: run.stream, offset, data };
  }

  /** Keeps so much from now on; what is over it is let go of at once. */
  limit(bytes: number): void {
    this.#limit = bytes;
    if (this.#ring.length <= bytes) return;
    const former = this.#ring;
    this.#start = Math.max(this.#start, this.#end - bytes);
    this.#ring = Buffer.allocUnsafeSlow(bytes);
    this.#refill(former);
    this.#runs.splice(0, this.#runAt(this.#start));
  }

  #put(data: Buffer, offset: number): void {
    const at = offset % this.#ring.length;
    const first = Math.min(data.length, this.#ring.length - at);
    data.copy(this.#ring, at, 0, first);
    data.copy(this.#ring, 0, first);
  }

  #grow(needed: number): void {
    if (needed <= this.#ring.length || this.#ring.length === this.#limit) return;
    let capacity = Math.max(FIRST_CAPACITY, this.#ring.length);
    while (capacity < needed) capacity *= 2;
    const former = this.#ring;
    this.#ring = Buffer.allocUnsafeSlow(Math.min(capacity, this.#limit));
    this.#refill(former);
  }

  #refill(former: Buffer): void {
    for (let offset = this.#start; offset < this.#end;) {
      const at = offset % former.length;
      const length = Math.min(this.#end - offset, former.length - at);
      this.#put(former.subarray(at, at + length), offset);
      offset += length;
    }
  }

  #drop(): void {
    const oldest = this.#runs[this.#runs.length - MOST_RUNS]?.offset ?? 0;
    this.#start = Math.max(this.#start, this.#end - this.#limit, oldest);
    const first = this.#runAt(this.#start);
    // In batches: each removal moves all that remain.
    if (first > MOST_RUNS / 4) this.#runs.splice(0, first);
  }

  /** Index of the run that the byte at an offset belongs to. */
  #runAt(offset: number): number {
    let low = 0;
    let high = this.#runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#runs[middle]?.offset ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
