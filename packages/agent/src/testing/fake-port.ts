import type { Port } from "../channel/port.js";

const GONE = Buffer.alloc(0);

/** A port whose host is a test: it decides what arrives, when, and how much is taken. */
export class FakePort implements Port {
  /** All that the agent has written. */
  written = Buffer.alloc(0);
  /** Most bytes that one write takes; 0 while the host does not read. */
  takes = Number.POSITIVE_INFINITY;
  #arriving: Buffer[] = [];
  #arrival = Promise.withResolvers<void>();
  #reading = Promise.withResolvers<void>();
  #hostReads = Promise.withResolvers<void>();

  /** Lets pieces arrive, each in a read of its own. */
  arrive(...pieces: Uint8Array[]): void {
    this.#arriving.push(
      ...pieces.filter(({ length }) => length > 0).map((piece) => Buffer.from(piece)),
    );
    this.#arrival.resolve();
  }

  /** The host goes away. */
  hangUp(): void {
    this.#arriving.push(GONE);
    this.#arrival.resolve();
  }

  /** Resolves when everything that arrived has been taken and more is asked for. */
  async drained(): Promise<void> {
    while (this.#arriving.length > 0) await this.#reading.promise;
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** The host reads from now on, so much at a time. */
  letHostRead(takes = Number.POSITIVE_INFINITY): void {
    this.takes = takes;
    this.#hostReads.resolve();
    this.#hostReads = Promise.withResolvers();
  }

  async read(): Promise<Buffer> {
    this.#reading.resolve();
    this.#reading = Promise.withResolvers();
    while (this.#arriving.length === 0) {
      this.#arrival = Promise.withResolvers();
      await this.#arrival.promise;
    }
    return this.#arriving.shift() ?? GONE;
  }

  async write(bytes: Buffer): Promise<number> {
    while (this.takes === 0) await this.#hostReads.promise;
    const taken = bytes.subarray(0, this.takes);
    this.written = Buffer.concat([this.written, taken]);
    return taken.length;
  }

  waitForHost(): Promise<void> {
    return Promise.resolve();
  }
}
