import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { finished } from "node:stream/promises";
import { LOGS, REPOSITORY, toolEnvironment } from "./paths.mjs";
import { SetupError } from "./setup-error.mjs";

/** How many lines of output a failure shows. */
const TAIL_LINES = 25;

/** How long a command may take to end when it is asked to, before it is killed. */
const STOP_GRACE_MS = 15_000;

/**
 * Runs a command to its end. Its output goes to a log, whose tail is in the
 * error if it fails. It is apart from the terminal's Ctrl-C and ends by the signal.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {object} options
 * @param {string} options.log name of the log
 * @param {AbortSignal} options.signal
 * @param {string} options.remedy what to do when it fails
 * @param {NodeJS.ProcessEnv} [options.env]
 * @param {string} [options.cwd]
 * @param {import("./terminal.mjs").Detail} [options.detail] sees every line
 * @returns {Promise<void>}
 */
export async function run(command, args, options) {
  const { signal } = options;
  signal.throwIfAborted();
  mkdirSync(LOGS, { recursive: true });
  const path = join(LOGS, `${options.log}.log`);
  const log = createWriteStream(path);
  const child = spawn("sh", ["-c", 'exec "$@" 2>&1', "sh", command, ...args], {
    cwd: options.cwd ?? REPOSITORY,
    env: options.env ?? toolEnvironment(),
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  const release = endOnAbort(child, signal);
  child.stdout.pipe(log);
  /** @type {string[]} */
  const tail = [];
  createInterface({ input: child.stdout, crlfDelay: Infinity }).on("line", (line) => {
    tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
    options.detail?.(line);
  });
  await once(child, "close").finally(release);
  await finished(log);
  signal.throwIfAborted();
  if (child.exitCode === 0) return;
  throw new SetupError(`${command} ended with ${child.signalCode ?? `status ${child.exitCode}`}`, {
    remedy: `${options.remedy} The whole output is in ${path}.`,
    logTail: tail.join("\n"),
  });
}

/**
 * Ends a process that leads its own group, with all that it started, when the
 * signal fires.
 *
 * @param {import("node:child_process").ChildProcess} child
 * @param {AbortSignal} signal
 * @returns {() => void} to be called when the process has ended
 */
export function endOnAbort(child, signal) {
  /** @type {NodeJS.Timeout | undefined} */
  let deadline;
  const end = () => {
    signalGroup(child, "SIGTERM");
    deadline = setTimeout(() => signalGroup(child, "SIGKILL"), STOP_GRACE_MS);
  };
  signal.addEventListener("abort", end, { once: true });
  return () => {
    signal.removeEventListener("abort", end);
    clearTimeout(deadline);
  };
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @param {NodeJS.Signals} name
 */
export function signalGroup(child, name) {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch (cause) {
    // The group has just ended.
    if (!(cause instanceof Error && "code" in cause && cause.code === "ESRCH")) throw cause;
  }
}
