import { Duplex } from "node:stream";
import type { PortWriter } from "./port-writer.js";

const READ_AHEAD = 256 << 10;

/** The bytes of one session, as HTTP/2 reads and writes them. */
export class SessionStream extends Duplex {
  readonly #writer: PortWriter;
  #wanted: (() => void) | undefined;

  constructor(writer: PortWriter) {
    super({ readableHighWaterMark: READ_AHEAD, decodeStrings: true });
    this.#writer = writer;
    // Whoever uses the session learns of its end from the session; nothing is left to be done here.
    this.on("error", () => {});
  }

  /** Hands received bytes in; resolves when more are wanted or nobody wants them. */
  deliver(bytes: Buffer): Promise<void> | undefined {
    if (this.destroyed || this.readableEnded || this.push(bytes)) return undefined;
    return new Promise((resolve) => {
      this.#wanted = resolve;
    });
  }

  override _read(): void {
    this.#takeMore();
  }

  override _write(
    chunk: Buffer,
    _: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    this.#writer.write([chunk], callback);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#writer.write(
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#takeMore();
    callback(error);
  }

  #takeMore(): void {
    this.#wanted?.();
    this.#wanted = undefined;
  }
}
