import { CommandError } from "../errors.js";

/** How a command ended. */
export interface CommandEnd {
  /** Exit code; 128 + the signal's number when a signal ended the command. */
  exitCode: number;
  /** Name of the signal that ended the command; undefined otherwise. */
  signal: string | undefined;
  /** `timeoutMs` passed and the command was killed. */
  timedOut: boolean;
}

/** What a command wrote, as far as it is kept. */
export interface CapturedOutput {
  stdout: Uint8Array;
  stderr: Uint8Array;
  droppedBytes: number;
}

/** A finished command: how it ended and what it wrote. */
export class CommandResult implements CommandEnd {
  readonly exitCode: number;
  readonly signal: string | undefined;
  readonly timedOut: boolean;
  /** Standard output as text; bytes that are not UTF-8 read as U+FFFD. */
  readonly stdout: string;
  /** Standard error as text; bytes that are not UTF-8 read as U+FFFD. */
  readonly stderr: string;
  /** Standard output as it was written. */
  readonly stdoutBytes: Uint8Array;
  /** Standard error as it was written. */
  readonly stderrBytes: Uint8Array;
  /** Bytes that are missing at the beginning of the output: see `maxOutputBytes`. Mostly 0. */
  readonly droppedBytes: number;
  readonly #command: string;

  /** @internal */
  constructor(command: string, end: CommandEnd, output: CapturedOutput) {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    this.exitCode = end.exitCode;
    this.signal = end.signal;
    this.timedOut = end.timedOut;
    this.stdout = decoder.decode(output.stdout);
    this.stderr = decoder.decode(output.stderr);
    this.stdoutBytes = output.stdout;
    this.stderrBytes = output.stderr;
    this.droppedBytes = output.droppedBytes;
    this.#command = command;
  }

  /** Whether the command ended by itself with exit code 0. */
  get ok(): boolean {
    return this.exitCode === 0 && this.signal === undefined && !this.timedOut;
  }

  /**
   * Gives back this result, or throws if the command failed.
   *
   * @throws CommandError that tells what ran, how it ended and what it wrote last
   * @example
   * ```ts
   * const { stdout } = (await machine.commands.run("git rev-parse HEAD")).orThrow();
   * ```
   */
  orThrow(): this {
    if (this.ok) return this;
    const last = this.stderr.trimEnd().slice(-2000);
    const message = `${JSON.stringify(this.#command)} ${this.#ending()}`;
    throw new CommandError(last === "" ? message : `${message}:\n${last}`, this);
  }

  #ending(): string {
    if (this.timedOut) return "was killed at its timeout";
    if (this.signal !== undefined) return `was ended by ${this.signal}`;
    return `ended with exit code ${this.exitCode}`;
  }
}
