/** What {@link KeyScanner.push} found in the stream. */
export interface Scan {
  /** Bytes for the session there is. */
  before: Buffer;
  /** Bytes that follow the key, or `undefined` while it has not been seen. */
  after: Buffer | undefined;
}

/**
 * A beginning of the key this long is held back until it is known to be the key
 * or not. A shorter one passes: every 256th message ends with the first byte of
 * the key, and its caller sends nothing more until it has an answer, so holding
 * it would be waiting for ever.
 */
const HELD_FROM = 8;

const NOTHING = Buffer.alloc(0);

/** Finds the channel key in everything the agent receives, however it is torn. */
export class KeyScanner {
  readonly #key: Buffer;
  /** A suffix of the stream that is also a prefix of the key. */
  #tail: Buffer = NOTHING;
  /** How many bytes of the tail have been passed on already. */
  #passed = 0;

  constructor(key: Uint8Array) {
    this.#key = Buffer.from(key);
  }

  /**
   * Takes the next piece of the stream. After a key the scanner is ready for
   * the next one: push `after` again to look for it there.
   */
  push(chunk: Buffer): Scan {
    const bytes = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    const passed = this.#passed;
    const at = bytes.indexOf(this.#key);
    if (at >= 0) {
      this.#tail = NOTHING;
      this.#passed = 0;
      const before = bytes.subarray(passed, Math.max(passed, at));
      return { before, after: bytes.subarray(at + this.#key.length) };
    }
    const tailAt = bytes.length - this.#prefixAtEnd(bytes);
    const tailLength = bytes.length - tailAt;
    const passTo = Math.max(passed, tailLength < HELD_FROM ? bytes.length : tailAt);
    this.#tail = tailLength === 0 ? NOTHING : Buffer.from(bytes.subarray(tailAt));
    this.#passed = Math.max(0, passTo - tailAt);
    return { before: bytes.subarray(passed, passTo), after: undefined };
  }

  /** Forgets the stream so far: the host is gone, and what it left half-sent is void. */
  reset(): void {
    this.#tail = NOTHING;
    this.#passed = 0;
  }

  /** Length of the longest suffix of `bytes` that is a proper prefix of the key. */
  #prefixAtEnd(bytes: Buffer): number {
    const first = this.#key[0];
    for (let at = Math.max(0, bytes.length - this.#key.length + 1); at < bytes.length; at++) {
      if (
        bytes[at] === first &&
        this.#key.compare(bytes, at, bytes.length, 0, bytes.length - at) === 0
      )
        return bytes.length - at;
    }
    return 0;
  }
}
