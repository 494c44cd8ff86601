import type { CallOptions } from "../call.js";

/** What a terminal shows at once, in characters: each from 1 to 1000. */
export interface PtySize {
  cols: number;
  rows: number;
}

/** What {@link Pty.create} takes. */
export interface CreatePtyOptions extends CallOptions, Partial<PtySize> {
  /** A line for a shell, or with `args` a program; the user's shell when not given. */
  command?: string | undefined;
  /** Arguments of the program, which is then started without a shell. */
  args?: readonly string[] | undefined;
  /** Working directory; the machine's default when not given. */
  cwd?: string | undefined;
  /** Added to the machine's environment; `TERM` is `xterm-256color` when not given. */
  envs?: Readonly<Record<string, string>> | undefined;
  /** Guest user to run as; `user` when not given. */
  user?: string | undefined;
  /**
   * This side is a terminal that answers what programs ask a terminal (xterm.js
   * does, and so does the one you sit at). False when not given: the machine answers.
   */
  answersQueries?: boolean | undefined;
  /** The same key makes the same session. The SDK makes a fresh one for each call. */
  idempotencyKey?: string | undefined;
}

/** What {@link Pty.connect} takes. Columns and rows become the terminal's, as those of the newest client do. */
export interface ConnectPtyOptions extends CallOptions, Partial<PtySize> {
  /** See {@link CreatePtyOptions.answersQueries}. */
  answersQueries?: boolean | undefined;
}

/** What a session sends. `data` of every kind but `"resize"` belongs on a terminal, in this order. */
export interface PtyOutput {
  /**
   * `"output"` is what the program wrote. `"screen"` paints the whole screen
   * anew, beginning with a reset. `"resize"` says that the terminal now has
   * `cols` and `rows`, and has no data.
   */
  kind: "screen" | "output" | "resize";
  data: Uint8Array;
  /** The characters that `data` completes; one that is torn comes with the next piece. */
  text: string;
  /** The terminal's size, of `"screen"` and `"resize"`. */
  size: PtySize | undefined;
  /** Bytes of output that this side missed before this `"screen"`, because it was slow or away. */
  skippedBytes: number;
}

/** How the program of a session ended. */
export interface PtyExit {
  /** Exit code; 128 + the signal's number when a signal ended it. */
  exitCode: number;
  /** Name of the signal that ended it; undefined otherwise. */
  signal: string | undefined;
}

/** A session that runs or ended lately. */
export interface PtyInfo {
  id: string;
  pid: number;
  command: string;
  args: string[];
  cwd: string;
  user: string;
  startedAt: Date | undefined;
  cols: number;
  rows: number;
  running: boolean;
  /** How it ended; undefined while it runs. */
  exit: PtyExit | undefined;
  /** How many are connected at the moment. */
  viewers: number;
  /** Bytes of output so far. */
  outputBytes: number;
}
