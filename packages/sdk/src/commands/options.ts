import type { CallOptions } from "../call.js";
import type { CommandOutput } from "./output.js";

/** What a command reads as its standard input. Strings are sent as UTF-8. */
export type StdinSource =
  | string
  | Uint8Array
  | AsyncIterable<string | Uint8Array>
  | ReadableStream<string | Uint8Array>;

/** A signal by name. */
export type Signal =
  | "SIGHUP"
  | "SIGINT"
  | "SIGQUIT"
  | "SIGKILL"
  | "SIGUSR1"
  | "SIGUSR2"
  | "SIGTERM"
  | "SIGCONT"
  | "SIGSTOP"
  | "SIGTSTP"
  | "SIGWINCH";

/** What {@link Commands.connect} takes. */
export interface ConnectCommandOptions extends CallOptions {
  /**
   * First byte of output wanted, over both streams: of a piece that has been seen, its
   * `offset` and the length of its `data` together. 0 when not given.
   */
  offset?: number | undefined;
}

/** Options of {@link Commands.run} that hold with and without a shell. */
export interface BaseCommandOptions extends CallOptions {
  /** Working directory; the machine's default when not given. */
  cwd?: string | undefined;
  /** Added to the machine's environment. */
  envs?: Readonly<Record<string, string>> | undefined;
  /** Guest user to run as; `user` when not given. */
  user?: string | undefined;
  /** Kills the command after so many milliseconds (`result.timedOut`); no limit when not given or 0. */
  timeoutMs?: number | undefined;
  /** Standard input, closed at its end; empty when not given. */
  stdin?: StdinSource | undefined;
  /** Bytes of each of stdout and stderr kept for the result, the last ones; 64 MiB when not given. */
  maxOutputBytes?: number | undefined;
  /** Called when the command runs. */
  onStart?: ((pid: number) => void) | undefined;
  /** Called with each piece of standard output. While its promise is pending, the command is held back. */
  onStdout?: ((text: string) => void | Promise<void>) | undefined;
  /** Called with each piece of standard error, as `onStdout` is. */
  onStderr?: ((text: string) => void | Promise<void>) | undefined;
  /** Called with each piece of either, with its bytes and its place, as `onStdout` is. */
  onOutput?: ((output: CommandOutput) => void | Promise<void>) | undefined;
  /** True gives a handle at once and lets the command run on; false waits for its end. */
  background?: boolean | undefined;
}

/** `command` is a program, started directly with these arguments. */
export interface ProgramOptions extends BaseCommandOptions {
  args: readonly string[];
  shell?: false | undefined;
}

/** `command` is a line for the shell; with `shell: false` it is a program without arguments. */
export interface ShellOptions extends BaseCommandOptions {
  args?: undefined;
  shell?: boolean | undefined;
}

/** What {@link Commands.run} takes. Arguments and a shell exclude each other. */
export type CommandOptions = ProgramOptions | ShellOptions;

/** Bytes of each output stream that a result keeps when the caller does not say. */
export const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
