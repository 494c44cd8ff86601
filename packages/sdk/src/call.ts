import { Code, ConnectError } from "@connectrpc/connect";
import { InvalidArgumentError } from "./errors.js";

/** What every call of the SDK takes. */
export interface CallOptions {
  /** Cancels the call; the cancellation reaches the server, and a running command. */
  signal?: AbortSignal | undefined;
  /**
   * Deadline of the whole call, retries included, in milliseconds; 0 for none.
   * Calls with one answer have 60 s by default (`create` 300 s); calls that
   * stream, such as `commands.run` and `files.read`, have none.
   */
  requestTimeoutMs?: number | undefined;
}

/** Deadline of a call with one answer whose caller set none, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 60_000;

/** The longest a timer of JavaScript can wait: 24.8 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * One call's cancellation and deadline. The caller's signal is re-raised as
 * Connect's own cancellation: the HTTP/2 transport then resets the stream with
 * CANCEL, by which the server knows a cancelled call from a broken one.
 */
export class CallScope {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #deadline: number;
  readonly #onOuterAbort = () => this.cancel();

  /** `timeoutMs` is 0 for a call without a deadline. */
  constructor(outer: AbortSignal, timeoutMs: number) {
    if (!(timeoutMs >= 0)) {
      throw new InvalidArgumentError(`requestTimeoutMs is ${timeoutMs}`, {
        remedy: "Give a number of milliseconds, or 0 for no deadline.",
      });
    }
    const limited = timeoutMs > 0 && timeoutMs <= LONGEST_TIMER_MS;
    this.#deadline = limited ? performance.now() + timeoutMs : Number.POSITIVE_INFINITY;
    this.#outer = outer;
    if (outer.aborted) this.cancel();
    else outer.addEventListener("abort", this.#onOuterAbort, { once: true });
  }

  /** Aborted when the caller cancels or the scope does. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Milliseconds until the deadline: at least 1, or infinite. */
  get remainingMs(): number {
    return Math.max(1, Math.ceil(this.#deadline - performance.now()));
  }

  /** Signal and deadline as Connect takes them. */
  get connectOptions(): { signal: AbortSignal; timeoutMs?: number } {
    const { signal, remainingMs } = this;
    return Number.isFinite(remainingMs) ? { signal, timeoutMs: remainingMs } : { signal };
  }

  /** Cancels the call on its way and on the server. */
  cancel(): void {
    this.#controller.abort(new ConnectError("the call was cancelled", Code.Canceled));
  }

  /** Lets go of the caller's signal. */
  close(): void {
    this.#outer.removeEventListener("abort", this.#onOuterAbort);
  }
}
