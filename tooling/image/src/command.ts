import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { createInterface } from "node:readline";
import { finished } from "node:stream/promises";
import { BuildError } from "./build-error.ts";

/** How long a command may take to clean up after it is asked to stop, before it is killed. */
const STOP_GRACE_MS = 10_000;

/** How many lines of output a failure shows. */
const TAIL_LINES = 20;

/** Both outputs through one pipe, so that the log has them in order. */
const ONE_STREAM = ["sh", "-c", 'exec "$@" 2>&1', "sh"];

/** Exit status of a command that is not there, as shells have it. */
const NOT_FOUND = 127;

/** How to run a command and where its output goes. */
export interface CommandOptions {
  /** Ends the command and everything it started. */
  signal: AbortSignal;
  /** File that the output is appended to. */
  log: string;
  /**
   * Runs it in mount and process namespaces of its own, so that whatever it
   * mounts or starts is gone when it is, even if it is killed. Default false.
   */
  isolated?: boolean;
  /** What the reader of a failure can do. */
  remedy: string;
  /** Sees every line of output. */
  onLine?: (line: string) => void;
}

/**
 * Runs a command to its end. It never outlives this process.
 *
 * @throws BuildError with the tail of the output if it does not end with status 0.
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<void> {
  options.signal.throwIfAborted();
  const isolation = options.isolated
    ? ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    : [];
  const mortal = ["--pdeathsig", "KILL", "--"];
  const child = spawn("setpriv", [...mortal, ...isolation, ...ONE_STREAM, command, ...args], {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  using cleanup = new DisposableStack();
  cleanup.use(stopOnAbort(child.pid, options.signal));

  const log = createWriteStream(options.log, { flags: "a" });
  log.write(`\n$ ${command} ${args.join(" ")}\n`);
  child.stdout.pipe(log);
  const tail: string[] = [];
  createInterface({ input: child.stdout, crlfDelay: Infinity }).on("line", (line) => {
    if (line.trim() === "") return;
    tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
    options.onLine?.(line);
  });

  await once(child, "close");
  const { exitCode: status, signalCode: killedBy } = child;
  await finished(log);
  options.signal.throwIfAborted();
  if (status === 0) return;
  const end = killedBy === null ? `status ${status}` : `signal ${killedBy}`;
  throw new BuildError(`${command} ended with ${end}`, {
    remedy:
      status === NOT_FOUND
        ? `Install the Debian package that has ${command} (npm start does).`
        : options.remedy,
    logTail: tail.join("\n"),
  });
}

/** Asks a process group to end when the signal fires, and kills it if it does not. */
function stopOnAbort(pid: number | undefined, signal: AbortSignal): Disposable {
  let deadline: NodeJS.Timeout | undefined;
  const stop = (): void => {
    if (pid === undefined) return;
    killGroup(pid, "SIGTERM");
    deadline = setTimeout(() => killGroup(pid, "SIGKILL"), STOP_GRACE_MS);
  };
  signal.addEventListener("abort", stop, { once: true });
  return {
    [Symbol.dispose]() {
      signal.removeEventListener("abort", stop);
      clearTimeout(deadline);
    },
  };
}

function killGroup(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(-pid, name);
  } catch (cause) {
    // It ended just now.
    if (!(cause instanceof Error && "code" in cause && cause.code === "ESRCH")) throw cause;
  }
}
