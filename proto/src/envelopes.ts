/** Of an envelope that holds how a call ended in place of a message. */
export const END_OF_CALL = 2;

/** Flags and length before each message. */
export const ENVELOPE_HEAD_BYTES = 5;

/** A message of the Connect protocol's streams as it travels: flags, length, bytes. */
export function envelope(message: Uint8Array, flags = 0): Buffer {
  const bytes = Buffer.allocUnsafe(ENVELOPE_HEAD_BYTES + message.length);
  bytes.writeUInt8(flags, 0);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, ENVELOPE_HEAD_BYTES);
  return bytes;
}

/** Takes envelopes out of a byte stream that arrives in pieces of any size. */
export class EnvelopeReader {
  readonly #mostBytes: number;
  readonly #onEnvelope: (flags: number, content: Buffer) => void;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** Bytes that must be there before there is anything to do. */
  #needed = ENVELOPE_HEAD_BYTES;

  /** @param mostBytes Longest content of an envelope. */
  constructor(mostBytes: number, onEnvelope: (flags: number, content: Buffer) => void) {
    this.#mostBytes = mostBytes;
    this.#onEnvelope = onEnvelope;
  }

  /**
   * Takes the next piece of the stream. Keeps no more than one envelope.
   *
   * @throws Error when an envelope is too long.
   */
  push(piece: Buffer): void {
    this.#kept.push(piece);
    this.#keptBytes += piece.length;
    if (this.#keptBytes < this.#needed) return;
    let bytes = this.#kept.length === 1 ? piece : Buffer.concat(this.#kept, this.#keptBytes);
    for (;;) {
      const length = this.#needed === ENVELOPE_HEAD_BYTES ? this.#contentLength(bytes) : undefined;
      if (length !== undefined) this.#needed = ENVELOPE_HEAD_BYTES + length;
      if (bytes.length < this.#needed) break;
      const content = bytes.subarray(ENVELOPE_HEAD_BYTES, this.#needed);
      const flags = bytes.readUInt8(0);
      bytes = bytes.subarray(this.#needed);
      this.#needed = ENVELOPE_HEAD_BYTES;
      this.#onEnvelope(flags, content);
      if (bytes.length < ENVELOPE_HEAD_BYTES) break;
    }
    this.#kept = bytes.length === 0 ? [] : [bytes];
    this.#keptBytes = bytes.length;
  }

  #contentLength(bytes: Buffer): number {
    const length = bytes.readUInt32BE(1);
    if (length <= this.#mostBytes) return length;
    throw new Error(`an envelope of ${length} bytes is more than ${this.#mostBytes}`);
  }
}
