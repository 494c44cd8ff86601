import { SetupError } from "./setup-error.mjs";

/** Exit status of a program ended by Ctrl-C, as shells have it. */
export const INTERRUPTED = 130;

/**
 * Runs a program: the signal fires on Ctrl-C and on a request to end, a
 * {@link SetupError} is told with its remedy, and the result is the exit status.
 *
 * @param {(signal: AbortSignal) => Promise<number>} program
 */
export async function main(program) {
  const abort = new AbortController();
  for (const name of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.on(name, () => abort.abort());
  }
  try {
    process.exitCode = await program(abort.signal);
  } catch (cause) {
    if (abort.signal.aborted) {
      process.stderr.write("Stopped. The next run goes on from here.\n");
      process.exitCode = INTERRUPTED;
    } else if (cause instanceof SetupError) {
      if (cause.logTail !== "") process.stderr.write(`\n${cause.logTail}\n`);
      process.stderr.write(`\nError: ${cause.message}.\n${cause.remedy}\n`);
      process.exitCode = 1;
    } else {
      throw cause;
    }
  }
}
