/**
 * The resynchronisation preamble of the agent channel.
 *
 * Host and agent talk HTTP/2 over one virtio-serial port: a byte stream that
 * outlives both ends. After a restore, a host crash or an agent restart, either
 * end may still hold bytes of a former session. So every connection begins with
 * `key ‖ nonce` from the host, answered by `nonce` from the agent; HTTP/2 follows
 * at once in both directions. The agent looks for its key in everything it
 * receives, and whatever came before it belonged to a dead session; the host
 * drops everything before its own fresh nonce. Nobody waits for a timer.
 *
 * The key is a secret of one machine (`System.Adopt` sets it), so no bytes a
 * third party sends through the channel can end a session.
 */
export const CHANNEL_KEY_BYTES = 32;

/** Length of the host's nonce: fresh random bytes for every connection. */
export const CHANNEL_NONCE_BYTES = 32;

/** The key of an agent that has never been adopted. */
export const BOOT_CHANNEL_KEY: Uint8Array = new TextEncoder().encode(
  "nullspace agent channel boot key",
);

/**
 * The payload of the HTTP/2 ping by which the agent tells its host that it has taken over the
 * adoption that came with this session's nonce. Nobody asks for it, so a host knows it of a
 * guest that cannot answer at the moment.
 */
export function adoptionMark(nonce: Uint8Array): Uint8Array {
  return nonce.subarray(0, 8);
}

/** What {@link MarkerSplitter.push} found in the stream. */
export interface Split {
  /** Bytes that are certainly not part of a marker, in order. */
  before: Buffer;
  /** Bytes that follow the marker, or `undefined` while it has not been seen. */
  after: Buffer | undefined;
}

/** Finds a marker in a byte stream that arrives in pieces of any size. */
export class MarkerSplitter {
  readonly #marker: Buffer;
  /** A suffix of the stream that is also a prefix of the marker. */
  #held: Buffer = Buffer.alloc(0);

  constructor(marker: Uint8Array) {
    this.#marker = Buffer.from(marker);
  }

  /**
   * Takes the next piece of the stream. Bytes are held back only while they
   * could be the beginning of a marker. After a marker the splitter is ready
   * for the next one: push `after` again to look for it there.
   */
  push(chunk: Uint8Array): Split {
    const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const bytes = this.#held.length === 0 ? view : Buffer.concat([this.#held, view]);
    const at = bytes.indexOf(this.#marker);
    if (at >= 0) {
      this.#held = Buffer.alloc(0);
      return { before: bytes.subarray(0, at), after: bytes.subarray(at + this.#marker.length) };
    }
    const keep = this.#partialMatchAtEnd(bytes);
    this.#held = Buffer.from(bytes.subarray(bytes.length - keep));
    return { before: bytes.subarray(0, bytes.length - keep), after: undefined };
  }

  /** Length of the longest suffix of `bytes` that is a proper prefix of the marker. */
  #partialMatchAtEnd(bytes: Buffer): number {
    const longest = Math.min(bytes.length, this.#marker.length - 1);
    for (let length = longest; length > 0; length--) {
      const suffix = bytes.subarray(bytes.length - length);
      if (suffix.equals(this.#marker.subarray(0, length))) return length;
    }
    return 0;
  }
}
