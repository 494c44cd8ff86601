import type { CallOptions } from "./call.js";
import { NullspaceError, TimeoutError } from "./errors.js";
import { CALL_RETRIES, delayMs, isTransient, pause, REATTACH_RETRIES } from "./retry.js";

/** Options for attempts that follow each other and share the deadline of the first. */
export function sharedDeadline<T extends CallOptions>(options: T): () => T {
  const { requestTimeoutMs } = options;
  if (requestTimeoutMs === undefined || !(requestTimeoutMs > 0)) return () => options;
  const deadline = performance.now() + requestTimeoutMs;
  return () => {
    const left = Math.ceil(deadline - performance.now());
    if (left > 0) return { ...options, requestTimeoutMs: left };
    throw new TimeoutError("the call's deadline passed while its connection was lost", {
      retryable: true,
      remedy: "Allow more time with requestTimeoutMs.",
    });
  };
}

/**
 * A stream that outlives its connection: when this is lost, `attach` is called
 * again and goes on where the stream broke, for which it keeps the place itself.
 * Gives up after some twenty seconds without anything, with the last failure;
 * one that was never answered after two, as every call that may be made twice.
 *
 * @param attach begins the stream, or goes on with it.
 * @param hasBegun whether there is something to go on with.
 */
export async function* resumeStream<T>(
  options: CallOptions,
  attach: (options: CallOptions) => AsyncIterable<T>,
  hasBegun: () => boolean,
): AsyncGenerator<T, void, undefined> {
  const attemptOptions = sharedDeadline(options);
  const signal = options.signal ?? new AbortController().signal;
  for (let failures = 0; ; failures++) {
    try {
      for await (const value of attach(attemptOptions())) {
        failures = 0;
        yield value;
      }
      return;
    } catch (error) {
      const isLost = error instanceof NullspaceError && isTransient(error);
      const policy = hasBegun() ? REATTACH_RETRIES : CALL_RETRIES;
      if (!isLost || failures >= policy.retries || signal.aborted) throw error;
      await pause(delayMs(policy, failures, error), signal);
    }
  }
}
