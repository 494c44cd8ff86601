import { NullspaceError, UnavailableError } from "./errors.js";

/** How often and how patiently something is tried again. */
export interface RetryPolicy {
  /** Tries after the first one. */
  retries: number;
  firstDelayMs: number;
  longestDelayMs: number;
}

/** For calls that may be made twice: four more tries within about two seconds. */
export const CALL_RETRIES: RetryPolicy = { retries: 4, firstDelayMs: 100, longestDelayMs: 1_000 };

/**
 * For the output of a running process, which is worth waiting for: about twenty
 * seconds, enough for a server to be started again.
 */
export const REATTACH_RETRIES: RetryPolicy = {
  retries: 14,
  firstDelayMs: 100,
  longestDelayMs: 2_000,
};

/** Whether a failure says that nothing is wrong with the call, only with the way there or the moment. */
export function isTransient(error: NullspaceError): boolean {
  // What a rate limit refuses was not begun.
  if (error.reason === "RATE_LIMITED") return true;
  return error instanceof UnavailableError && error.retryable;
}

/** Delay before try number `retry` after a failure, in milliseconds: never less than the server asks for. */
export function delayMs(policy: RetryPolicy, retry: number, error: unknown): number {
  const asked = error instanceof NullspaceError ? (error.retryAfterMs ?? 0) : 0;
  return Math.max(backoffMs(policy, retry), asked);
}

/**
 * Delay before try number `retry` (0 is the first retry), in milliseconds:
 * doubled each time, with half of it random so that clients that failed
 * together do not come back together.
 */
function backoffMs(policy: RetryPolicy, retry: number): number {
  const full = Math.min(policy.longestDelayMs, policy.firstDelayMs * 2 ** retry);
  return full / 2 + (Math.random() * full) / 2;
}

/** Resolves after `ms`, or at once when `signal` is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener("abort", finish, { once: true });
  });
}
