/** What a wait had before it was given up. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";

  /** @param what - what was waited for, as it reads after "waited for". */
  constructor(what: string, timeoutMs: number) {
    super(`waited ${timeoutMs} ms for ${what}`);
  }
}

/** How long a wait may take. */
export interface Deadline {
  /** In milliseconds from now. */
  timeoutMs: number;
  /** Ends the wait early. */
  signal?: AbortSignal | undefined;
}

/**
 * Waits for `work`, but no longer than its deadline. The work itself is not
 * stopped: whoever owns it does that when this rejects.
 *
 * @throws DeadlineError when the time is over, or the reason of an aborted signal.
 * @example
 * const status = await within(reply, "the answer to query-status", { timeoutMs: 1000 });
 */
export async function within<T>(work: Promise<T>, what: string, deadline: Deadline): Promise<T> {
  const { timeoutMs, signal } = deadline;
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new DeadlineError(what, timeoutMs)), timeoutMs);
  const abort = () => reject(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  if (signal?.aborted === true) abort();
  try {
    return await Promise.race([work, ended]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** Aborted as soon as one of the signals is. */
export function anySignal(...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}

/** A deadline as the options of a call. */
export function callOptions({ timeoutMs, signal }: Deadline): {
  timeoutMs: number;
  signal?: AbortSignal;
} {
  return { timeoutMs, ...(signal === undefined ? {} : { signal }) };
}
