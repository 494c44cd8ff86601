import { once } from "node:events";
import { constants } from "node:os";
import type { CommandOutput, Signal } from "@nullspace/sdk";

/** Signals that a program in the machine is told of instead of this one. */
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const satisfies Signal[];

/** Exit code of a program that writes to a closed pipe: 128 + SIGPIPE. */
export const BROKEN_PIPE = 141;

/** Passes output and signals between this program's surroundings and a program in a machine. */
export class PassThrough implements Disposable {
  readonly #onSignal: (signal: Signal) => void;
  readonly #cancel = new AbortController();
  readonly #closed = Promise.withResolvers<never>();

  /** @param onSignal told of each signal that this program gets. */
  constructor(onSignal: (signal: Signal) => void) {
    this.#onSignal = onSignal;
    this.#closed.promise.catch(() => undefined);
    for (const signal of FORWARDED) process.on(signal, this.#onSignal);
    process.stdout.on("error", this.#onOutputError);
  }

  /** Aborted when nobody reads our output any more, or by {@link cancel}. */
  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  /** Gives the call up. */
  cancel(reason?: unknown): void {
    this.#cancel.abort(reason);
  }

  /** Passes a piece of output on, and waits while whoever reads it is slow. */
  write({ stream, data }: Pick<CommandOutput, "stream" | "data">): Promise<void> {
    return Promise.race([writeTo(process[stream], data), this.#closed.promise]);
  }

  /** Whether a failure is that of a pipe nobody reads. */
  isBrokenPipe(error: unknown): boolean {
    return isBrokenPipe(error) || isBrokenPipe(this.#cancel.signal.reason);
  }

  [Symbol.dispose](): void {
    for (const signal of FORWARDED) process.off(signal, this.#onSignal);
    process.stdout.off("error", this.#onOutputError);
  }

  readonly #onOutputError = (error: Error): void => {
    this.#cancel.abort(error);
    this.#closed.reject(error);
  };
}

/** Writes bytes, and waits while whoever reads them is slow. */
export async function writeTo(target: NodeJS.WriteStream, data: Uint8Array): Promise<void> {
  if (!target.write(data)) await once(target, "drain");
}

/**
 * Writes pieces to standard output. When nobody reads it any more, the rest is
 * left and the exit code is that of a broken pipe.
 *
 * @returns the bytes that were written.
 */
export async function writeOut(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<number> {
  using through = new PassThrough((signal) => process.exit(128 + constants.signals[signal]));
  let bytes = 0;
  try {
    for await (const data of pieces) {
      await through.write({ stream: "stdout", data });
      bytes += data.length;
    }
  } catch (error) {
    if (!through.isBrokenPipe(error)) throw error;
    process.exitCode = BROKEN_PIPE;
  }
  return bytes;
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}
