import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { GitPlace } from "@nullspace/proto/agent";
import { OutputStream, StartRequestSchema } from "@nullspace/proto/agent";
import type { GuestProcess } from "../process/guest-process.js";
import type { ProcessTable } from "../process/process-table.js";
import { gitFault } from "./git-fault.js";
import { type Scrub, scrubUrls } from "./scrub.js";

/** Most output that is held of one git; with more it is ended, and the result says that it is cut. */
const MOST_OUTPUT = 16 << 20;

/** Most that is held of what it says besides. */
const MOST_SAID = 256 << 10;

/** Holds for every git: no question to anyone, no colour, no pager, and English. */
const ENV = {
  GIT_TERMINAL_PROMPT: "0",
  GIT_EDITOR: ":",
  GIT_SEQUENCE_EDITOR: ":",
  GIT_MERGE_AUTOEDIT: "no",
  LC_ALL: "C.UTF-8",
};

const OPTIONS = [
  "--no-pager",
  ...[
    "core.quotePath=false",
    "color.ui=false",
    "i18n.logOutputEncoding=UTF-8",
    "advice.detachedHead=false",
  ].flatMap((value) => ["-c", value]),
];

export interface GitRun {
  place: GitPlace | undefined;
  /** The command and its arguments. */
  args: readonly string[];
  /** Before the command. */
  options?: readonly string[];
  /** Its standard input. */
  input?: string;
  env?: Readonly<Record<string, string>>;
  /** Exit codes besides 0 that are no failure. */
  accept?: readonly number[];
  /** Told what it says on standard error, as it says it. */
  onSay?: (text: string) => void;
  scrub?: Scrub;
  mostOutput?: number;
  /** Lock nothing that it does not have to. */
  readOnly?: boolean;
  signal: AbortSignal;
}

export interface GitOutput {
  stdout: Buffer;
  stderr: string;
  exitCode: number;
  /** There was more output than is held. */
  truncated: boolean;
}

/** Runs the guest's git, as one of its users. */
export class Git {
  readonly #table: ProcessTable;

  constructor(table: ProcessTable) {
    this.#table = table;
  }

  /**
   * Runs git to its end. When the signal aborts, its process group is ended first.
   *
   * @throws Fault, by what git says, when it fails; ConnectError when the caller has gone.
   */
  async run(run: GitRun): Promise<GitOutput> {
    const output = await this.attempt(run);
    if (output.exitCode === 0 || output.truncated || run.accept?.includes(output.exitCode)) {
      return output;
    }
    const { scrub = scrubUrls, args, place, signal } = run;
    const failure = {
      command: args[0] ?? "",
      exitCode: output.exitCode,
      stdout: scrub(output.stdout.toString()),
      stderr: scrub(output.stderr),
    };
    const isConflict = /CONFLICT \(|unmerged|needs merge/.test(failure.stdout + failure.stderr);
    throw gitFault({
      ...failure,
      ...(isConflict && { conflicts: await this.#conflicts(place, signal) }),
    });
  }

  /** As {@link run}, but a git that fails is a result. */
  async attempt(run: GitRun): Promise<GitOutput> {
    const { place, args, options = [], env, readOnly = false, signal } = run;
    const request = create(StartRequestSchema, {
      command: "git",
      args: [...OPTIONS, ...(namesPaths(args) ? ["--literal-pathspecs"] : []), ...options, ...args],
      exec: true,
      cwd: place?.path ?? "",
      user: place?.user ?? "",
      envs: { ...place?.envs, ...ENV, ...(readOnly && { GIT_OPTIONAL_LOCKS: "0" }), ...env },
      stdin: run.input !== undefined,
    });
    throwIfGone(signal);
    const process = await this.#table.start(request, { listed: false });
    const end = () => process.terminate();
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
    try {
      // Git may end without having read it all; its exit says what became of it.
      if (run.input !== undefined) feed(process, run.input);
      const output = await collect(process, run);
      throwIfGone(signal);
      return output;
    } finally {
      signal.removeEventListener("abort", end);
    }
  }

  /** Output as text, without the newline at its end. */
  async line(run: GitRun): Promise<string> {
    return (await this.run(run)).stdout.toString().replace(/\n$/, "");
  }

  /** Output that ends each of its fields with NUL. */
  async fields(run: GitRun): Promise<{ fields: string[]; truncated: boolean }> {
    const { stdout, truncated } = await this.run(run);
    const fields = stdout.toString().split("\0");
    // After the last NUL there is nothing, or a field that was cut.
    fields.pop();
    return { fields, truncated };
  }

  async #conflicts(place: GitPlace | undefined, signal: AbortSignal): Promise<string[]> {
    const args = ["diff", "--name-only", "--diff-filter=U", "-z"];
    const { stdout } = await this.attempt({ place, args, signal, readOnly: true });
    return stdout.toString().split("\0").filter(Boolean);
  }
}

/**
 * Whether a client's paths are among the arguments: they mean themselves, not
 * patterns. Without any, git's own must go on to be patterns (stash has some).
 */
function namesPaths(args: readonly string[]): boolean {
  const mark = args.indexOf("--");
  return mark >= 0 && mark < args.length - 1;
}

function throwIfGone(signal: AbortSignal): void {
  if (!signal.aborted) return;
  const reason: unknown = signal.reason;
  throw reason instanceof ConnectError
    ? reason
    : new ConnectError("the caller has gone", Code.Canceled);
}

function feed(process: GuestProcess, input: string): void {
  process
    .sendInput(Buffer.from(input))
    .then(() => process.closeInput())
    .catch(() => {});
}

async function collect(
  process: GuestProcess,
  { onSay, mostOutput = MOST_OUTPUT }: GitRun,
): Promise<GitOutput> {
  const chunks: Buffer[] = [];
  let length = 0;
  let stderr = "";
  let truncated = false;
  // Not the caller's signal: the end of the process is awaited in any case.
  for await (const { event } of process.follow(0, new AbortController().signal)) {
    if (event?.case === "exit") {
      const stdout = Buffer.concat(chunks, length);
      return { stdout, stderr, exitCode: event.value.exitCode ?? 0, truncated };
    }
    if (event?.case !== "output" || event.value.data === undefined) continue;
    const data = Buffer.from(event.value.data);
    if (event.value.stream === OutputStream.STDERR) {
      const text = data.toString();
      onSay?.(text);
      stderr = (stderr + text).slice(-MOST_SAID);
      continue;
    }
    const kept = data.subarray(0, mostOutput - length);
    chunks.push(kept);
    length += kept.length;
    if (kept.length < data.length && !truncated) {
      truncated = true;
      process.terminate();
    }
  }
  throw new Error("git was followed beyond its end");
}
