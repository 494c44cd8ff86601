import { describeError } from "./failure.js";
import type { Log } from "./log.js";
import type { PreviewStore, PreviewTransport, PreviewUse } from "./preview-grant.js";

/** How long uses are counted before they are written, in milliseconds. */
const WRITE_AFTER_MS = 1000;

interface Count {
  httpRequests: number;
  websockets: number;
  bytesIn: number;
  bytesOut: number;
  usedAt: Date | undefined;
  lastError: string;
  lastErrorAt: Date | undefined;
}

/**
 * Counts what goes through grants, and writes it once a second: previews would
 * else be as slow as the database. A crash loses what was not yet written.
 */
export class PreviewUsage implements AsyncDisposable {
  readonly #store: PreviewStore;
  readonly #log: Log;
  #counts = new Map<string, Count>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(store: PreviewStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** A request or a WebSocket was let in. */
  begin(grantId: string, transport: PreviewTransport): void {
    const count = this.#count(grantId);
    if (transport === "http") count.httpRequests++;
    else count.websockets++;
    count.usedAt = new Date();
  }

  /** Bytes went to the machine and from it. */
  move(grantId: string, bytesIn: number, bytesOut: number): void {
    if (bytesIn === 0 && bytesOut === 0) return;
    const count = this.#count(grantId);
    count.bytesIn += bytesIn;
    count.bytesOut += bytesOut;
    count.usedAt = new Date();
  }

  /** Something was kept out or failed, for this reason. */
  fail(grantId: string, reason: string): void {
    const count = this.#count(grantId);
    count.lastError = reason;
    count.lastErrorAt = new Date();
  }

  /** Writes what has been counted. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const counts = this.#counts;
    this.#counts = new Map();
    const before = this.#writing;
    this.#writing = before.then(() => this.#write(counts));
    return this.#writing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush();
  }

  async #write(counts: ReadonlyMap<string, PreviewUse>): Promise<void> {
    for (const [grantId, use] of counts) {
      try {
        await this.#store.addUse(grantId, use);
      } catch (error) {
        // Uses are told to people. That the database fails is told by whatever needs it.
        this.#log.warn({ grantId, err: describeError(error) }, "uses of a preview are lost");
      }
    }
  }

  #count(grantId: string): Count {
    let count = this.#counts.get(grantId);
    if (count === undefined) {
      count = {
        httpRequests: 0,
        websockets: 0,
        bytesIn: 0,
        bytesOut: 0,
        usedAt: undefined,
        lastError: "",
        lastErrorAt: undefined,
      };
      this.#counts.set(grantId, count);
      this.#timer ??= setTimeout(() => void this.flush(), WRITE_AFTER_MS).unref();
    }
    return count;
  }
}
