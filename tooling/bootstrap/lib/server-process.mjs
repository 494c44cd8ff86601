import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseJson } from "./json.mjs";
import { NODE, REPOSITORY, toolEnvironment } from "./paths.mjs";
import { signalGroup } from "./run.mjs";
import { SetupError } from "./setup-error.mjs";

/** @typedef {{ url: string, apiKey: string, consoleUrl: string }} Ready what a server prints when it answers */

/** How long a server may take to stop by itself: it lets calls in progress finish. */
const STOP_GRACE_MS = 30_000;

const TAIL_LINES = 25;

/** A server that this process has started and will stop. */
export class ServerProcess {
  /** @type {import("node:child_process").ChildProcess} */
  #child;

  /**
   * @param {import("node:child_process").ChildProcess} child
   * @param {Ready} ready
   * @param {string} log
   */
  constructor(child, ready, log) {
    this.#child = child;
    this.ready = ready;
    /** Path of the server's log. */
    this.log = log;
  }

  /**
   * Starts a server and waits until it answers.
   *
   * @param {object} options
   * @param {string} options.home
   * @param {readonly string[]} options.args more arguments of the server
   * @param {AbortSignal} options.signal
   * @throws {SetupError} with the end of its log if it ends instead
   */
  static async start({ home, args, signal }) {
    signal.throwIfAborted();
    await mkdir(home, { recursive: true });
    const log = join(home, "server.log");
    const bin = join(REPOSITORY, "packages/server/dist/bin.js");
    const logFile = openSync(log, "w");
    // It must not outlive this process, however that ends.
    const mortal = ["--pdeathsig", "TERM", "--", NODE, bin];
    const child = spawn("setpriv", [...mortal, "server", "--json", "--home", home, ...args], {
      env: toolEnvironment(),
      stdio: ["ignore", "pipe", logFile],
      detached: true,
    });
    closeSync(logFile);
    const { stdout } = child;
    if (stdout === null) throw new Error("a server without standard output");
    const stop = () => signalGroup(child, "SIGTERM");
    signal.addEventListener("abort", stop, { once: true });
    /** @type {string | undefined} */
    let line;
    for await (line of createInterface({ input: stdout })) break;
    signal.removeEventListener("abort", stop);
    if (line === undefined) {
      await ended(child);
      signal.throwIfAborted();
      throw new SetupError("the server did not start", {
        remedy: `The lines above say why. The whole log is in ${log}.`,
        logTail: readFileSync(log, "utf8").trimEnd().split("\n").slice(-TAIL_LINES).join("\n"),
      });
    }
    stdout.resume();
    /** @type {Ready} */
    const ready = parseJson(line);
    return new ServerProcess(child, ready, log);
  }

  /** Ends when the server does. */
  async ended() {
    await ended(this.#child);
  }

  /** Stops the server and waits for its end. Its machines go on. */
  async stop() {
    signalGroup(this.#child, "SIGTERM");
    const deadline = setTimeout(() => signalGroup(this.#child, "SIGKILL"), STOP_GRACE_MS);
    await ended(this.#child);
    clearTimeout(deadline);
  }
}

/** @param {import("node:child_process").ChildProcess} child */
async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await once(child, "exit");
}
