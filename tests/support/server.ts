import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { keepLog } from "@nullspace/log-scan";
import { Nullspace } from "@nullspace/sdk";

/** The program of the server. */
export const SERVER_BIN = createRequire(import.meta.url).resolve("@nullspace/server/bin");

/** How long a server may take to say that it is ready: it may have to capture a template first. */
const READY_MS = 120_000;

export interface ServerOptions {
  home: string;
  env?: NodeJS.ProcessEnv;
  args?: string[];
}

/** A `nullspace-server` process of a test. Disposing stops it and every machine it still has. */
export class TestServer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #log: string[];

  constructor(
    child: ChildProcess,
    log: string[],
    readonly home: string,
    readonly url: string,
    readonly apiKey: string,
    readonly consoleUrl: string,
  ) {
    this.#child = child;
    this.#log = log;
  }

  /** An SDK client with the server's own key. */
  get client(): Nullspace {
    return new Nullspace({ url: this.url, apiKey: this.apiKey });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error("the server was never started");
    return this.#child.pid;
  }

  /** Everything the server logged so far. */
  get log(): string {
    return this.#log.join("");
  }

  /** Ends the server as a crash would; its machines go on. */
  async crash(): Promise<void> {
    await this.stop("SIGKILL");
  }

  /** Ends the server; its machines go on. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill(signal);
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const { machines } = this.client;
      for await (const machine of machines.list()) await machines.kill(machine.id);
    }
    await this.stop();
  }
}

/** Starts a server on a free port and waits until it is ready. Fails with its log if it ends instead. */
export async function startServer(options: ServerOptions): Promise<TestServer> {
  const { child, log } = spawnServer(options);
  const line = await firstLine(child, log);
  const { url, apiKey, consoleUrl } = parseReadyLine(line);
  return new TestServer(child, log, options.home, url, apiKey, consoleUrl);
}

/** Runs a server that is expected to refuse to start; gives its exit code and log. */
export async function failToStart(options: ServerOptions): Promise<{ code: number; log: string }> {
  const { child, log } = spawnServer(options);
  const timer = setTimeout(() => child.kill("SIGKILL"), READY_MS);
  await once(child, "close");
  clearTimeout(timer);
  return { code: child.exitCode ?? -1, log: log.join("") };
}

function spawnServer({ home, env, args = [] }: ServerOptions) {
  const child = spawn(
    process.execPath,
    [SERVER_BIN, "server", "--json", "--port", "0", "--home", home, ...args],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } },
  );
  const log: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log.push(text);
    keepLog(child.pid ?? "", text);
  });
  return { child, log };
}

async function firstLine(child: ChildProcess, log: string[]): Promise<string> {
  const { stdout } = child;
  if (stdout === null) throw new Error("the server has no standard output");
  return await new Promise((resolve, reject) => {
    let text = "";
    const fail = (why: string) => {
      child.kill("SIGKILL");
      reject(new Error(`The server ${why}. Its log:\n${log.join("")}`));
    };
    const timer = setTimeout(() => fail("was not ready in time"), READY_MS);
    const onExit = () => fail("ended before it was ready");
    child.once("exit", onExit);
    stdout.on("data", (data: Buffer) => {
      text += data.toString();
      const end = text.indexOf("\n");
      if (end < 0) return;
      clearTimeout(timer);
      child.off("exit", onExit);
      resolve(text.slice(0, end));
    });
  });
}

function parseReadyLine(line: string): { url: string; apiKey: string; consoleUrl: string } {
  const value: unknown = JSON.parse(line);
  if (typeof value !== "object" || value === null) throw new Error(`not a ready line: ${line}`);
  const read = (name: string): string => {
    const field: unknown = Reflect.get(value, name);
    if (typeof field !== "string") throw new Error(`the ready line has no ${name}: ${line}`);
    return field;
  };
  return { url: read("url"), apiKey: read("apiKey"), consoleUrl: read("consoleUrl") };
}
