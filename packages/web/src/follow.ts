import { explain, isUnauthenticated } from "./explain";

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;

/** What {@link follow} does with what it meets. */
export interface FollowOptions {
  /** Follows one stream; yields whenever all is well. */
  readonly stream: (signal: AbortSignal) => AsyncIterable<unknown>;
  /** Told why the stream is cut off, each time. */
  readonly onProblem: (problem: string) => void;
  /** Called when the server no longer takes the key; then it is over. */
  readonly onRefused: () => void;
}

/**
 * Follows a stream until the signal is aborted. When it breaks a new one is
 * opened: after a delay that doubles, or at once when the browser comes back online.
 */
export async function follow(options: FollowOptions, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      for await (const _ of options.stream(signal)) failures = 0;
      if (signal.aborted) return;
      options.onProblem("The server ended the connection.");
    } catch (error) {
      if (signal.aborted) return;
      if (isUnauthenticated(error)) return options.onRefused();
      options.onProblem(explain(error));
    }
    const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** failures);
    await pauseOrOnline(delay * (0.5 + Math.random() / 2), signal);
  }
}

function pauseOrOnline(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      removeEventListener("online", finish);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, milliseconds);
    addEventListener("online", finish);
    signal.addEventListener("abort", finish);
  });
}
