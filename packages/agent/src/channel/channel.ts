import type { Duplex } from "node:stream";
import { CHANNEL_NONCE_BYTES } from "@nullspace/proto/channel";
import { KeyScanner, type Scan } from "./key-scanner.js";
import type { Port } from "./port.js";
import { PortWriter } from "./port-writer.js";
import { SessionStream } from "./session-stream.js";

export interface ChannelOptions {
  port: Port;
  /** What the host sends to begin a session, 32 bytes. */
  key: Uint8Array;
  /** Called with the byte stream of each new session, after the former one has been destroyed. */
  onSession: (stream: Duplex) => void;
}

/**
 * The agent's end of the channel: turns the one byte stream of a port into a
 * succession of sessions. It looks for its key in everything it receives; the
 * key ends the session there is and, with the nonce that follows it, begins the
 * next. See `@nullspace/proto/channel`.
 */
export class Channel {
  readonly #port: Port;
  readonly #onSession: (stream: Duplex) => void;
  readonly #writer: PortWriter;
  readonly #failed = Promise.withResolvers<never>();
  #scanner: KeyScanner;
  /** The host's nonce as far as it has arrived; only between a key and a session. */
  #nonce: Buffer | undefined;
  #session: SessionStream | undefined;
  /** Began the session there is, or the last one. */
  #sessionNonce: Buffer = Buffer.alloc(0);
  /** A key that counts once the session of a nonce has begun. */
  #next: { nonce: Buffer; key: Uint8Array } | undefined;

  constructor({ port, key, onSession }: ChannelOptions) {
    this.#port = port;
    this.#onSession = onSession;
    this.#writer = new PortWriter(port, this.#failed.reject);
    this.#scanner = new KeyScanner(key);
  }

  /** Sets the key that begins the next session. The one there is goes on. */
  setKey(key: Uint8Array): void {
    this.#scanner = new KeyScanner(key);
  }

  /**
   * As {@link setKey}, once the session of a nonce has begun: the host that makes the key
   * known opens that session by the former one, and either may get here first.
   */
  setKeyWithin(nonce: Buffer, key: Uint8Array): void {
    this.#next = { nonce, key };
    this.#applyNext();
  }

  #applyNext(): void {
    if (this.#next?.nonce.equals(this.#sessionNonce) !== true) return;
    this.setKey(this.#next.key);
    this.#next = undefined;
  }

  /** Serves one host after the other until the signal aborts. Rejects only when the port itself fails. */
  async run(signal: AbortSignal): Promise<void> {
    const stopped = Promise.withResolvers<void>();
    const stop = () => stopped.resolve();
    signal.addEventListener("abort", stop);
    try {
      // Raced once, not at every read: each race leaves a reaction on the promises that have not settled.
      await Promise.race([this.#serve(signal), this.#failed.promise, stopped.promise]);
    } finally {
      signal.removeEventListener("abort", stop);
      this.#endSession();
    }
  }

  async #serve(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const chunk = await this.#port.read();
      if (signal.aborted) return;
      if (chunk.length > 0) {
        await this.#receive(chunk);
        continue;
      }
      this.#endSession();
      this.#scanner.reset();
      await this.#port.waitForHost();
    }
  }

  async #receive(chunk: Buffer): Promise<void> {
    let rest: Buffer | undefined = chunk;
    while (rest !== undefined) {
      const { before, after }: Scan = this.#scanner.push(rest);
      if (before.length > 0) await this.#deliver(before);
      if (after !== undefined) {
        this.#endSession();
        this.#nonce = Buffer.alloc(0);
      }
      rest = after;
    }
  }

  #deliver(bytes: Buffer): Promise<void> | undefined {
    if (this.#nonce === undefined) return this.#session?.deliver(bytes);
    const nonce = Buffer.concat([this.#nonce, bytes]);
    if (nonce.length < CHANNEL_NONCE_BYTES) {
      this.#nonce = nonce;
      return undefined;
    }
    return this.#beginSession(
      nonce.subarray(0, CHANNEL_NONCE_BYTES),
      nonce.subarray(CHANNEL_NONCE_BYTES),
    );
  }

  #beginSession(nonce: Buffer, first: Buffer): Promise<void> | undefined {
    this.#nonce = undefined;
    this.#writer.restart(nonce);
    const session = new SessionStream(this.#writer);
    this.#session = session;
    this.#sessionNonce = Buffer.from(nonce);
    this.#applyNext();
    this.#onSession(session);
    return first.length > 0 ? session.deliver(first) : undefined;
  }

  #endSession(): void {
    this.#session?.destroy();
    this.#session = undefined;
    this.#nonce = undefined;
    this.#writer.restart(Buffer.alloc(0));
  }
}
