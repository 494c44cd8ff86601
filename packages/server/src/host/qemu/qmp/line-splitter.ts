/** What arrived is not the protocol that was expected. */
export class FramingError extends Error {
  override readonly name = "FramingError";
}

const NEWLINE = 0x0a;

/** Cuts a byte stream that arrives in pieces of any size into lines of bounded length. */
export class LineSplitter {
  readonly #maxBytes: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  /** Pieces of the line that is not complete yet, joined only once it is. */
  #pieces: Buffer[] = [];
  #heldBytes = 0;

  /** @param maxBytes - longest line that is accepted, without its newline. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Takes the next piece of the stream and yields each line it completes, without
   * the newline (LF or CRLF).
   *
   * @throws FramingError when a line is too long or is not UTF-8.
   */
  *push(chunk: Buffer): Generator<string, void, undefined> {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      this.#hold(chunk.subarray(from, at));
      from = at + 1;
      yield this.#take();
    }
    this.#hold(chunk.subarray(from));
  }

  #hold(piece: Buffer): void {
    this.#heldBytes += piece.length;
    if (this.#heldBytes > this.#maxBytes) {
      throw new FramingError(`a line is longer than ${this.#maxBytes} bytes`);
    }
    if (piece.length > 0) this.#pieces.push(piece);
  }

  #take(): string {
    const bytes = Buffer.concat(this.#pieces, this.#heldBytes);
    this.#pieces = [];
    this.#heldBytes = 0;
    const end = bytes.at(-1) === 0x0d ? bytes.length - 1 : bytes.length;
    try {
      return this.#decoder.decode(bytes.subarray(0, end));
    } catch (cause) {
      throw new FramingError("a line is not UTF-8", { cause });
    }
  }
}
