import type { Port } from "./port.js";

/**
 * Most bytes that wait for the port. A sender above it is not answered until
 * the queue is below again. It exceeds a peer's whole connection window on
 * purpose: HTTP/2 in Node stops reading while a write is outstanding, so two
 * ends that both wait for the other's write to be read would wait for ever.
 */
const MOST_QUEUED = 4 << 20;

/** What the kernel takes in one write to a virtio port; small writes are joined up to it. */
const WRITE_SIZE = 32 << 10;

/** Writes to a port in order, one write outstanding, for one session at a time. */
export class PortWriter {
  readonly #port: Port;
  readonly #onError: (error: unknown) => void;
  readonly #joined = Buffer.allocUnsafeSlow(WRITE_SIZE);
  #queue: Buffer[] = [];
  #queued = 0;
  #waiting: (() => void)[] = [];
  #writing = false;
  /** Which session the queue belongs to; what is left of an earlier one's write is void. */
  #session = 0;

  constructor(port: Port, onError: (error: unknown) => void) {
    this.#port = port;
    this.#onError = onError;
  }

  /** Drops what is queued and begins a new session with `first`. */
  restart(first: Buffer): void {
    this.#session++;
    this.#queue = [];
    this.#queued = 0;
    this.#waiting = [];
    if (first.length > 0) this.write([first], () => {});
  }

  /** Queues bytes; `accepted` is called when more may come. */
  write(chunks: readonly Buffer[], accepted: () => void): void {
    for (const chunk of chunks) {
      if (chunk.length === 0) continue;
      this.#queue.push(chunk);
      this.#queued += chunk.length;
    }
    if (this.#queued < MOST_QUEUED) accepted();
    else this.#waiting.push(accepted);
    if (!this.#writing) this.#pump().catch(this.#onError);
  }

  async #pump(): Promise<void> {
    this.#writing = true;
    while (this.#queue.length > 0) {
      const session = this.#session;
      const bytes = this.#take();
      for (let at = 0; at < bytes.length && session === this.#session;) {
        at += await this.#port.write(at === 0 ? bytes : bytes.subarray(at));
      }
      if (session === this.#session) this.#release(bytes.length);
    }
    this.#writing = false;
  }

  /** The next bytes to write: a large chunk as it is, small ones joined. */
  #take(): Buffer {
    const [first] = this.#queue;
    if (first !== undefined && (this.#queue.length === 1 || first.length >= WRITE_SIZE)) {
      this.#queue.shift();
      return first;
    }
    let length = 0;
    let count = 0;
    for (const chunk of this.#queue) {
      if (length + chunk.length > WRITE_SIZE) break;
      chunk.copy(this.#joined, length);
      length += chunk.length;
      count++;
    }
    this.#queue.splice(0, count);
    return this.#joined.subarray(0, length);
  }

  #release(bytes: number): void {
    this.#queued -= bytes;
    if (this.#queued >= MOST_QUEUED) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const accepted of waiting) accepted();
  }
}
