import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Nullspace } from "@nullspace/sdk";

const SERVER_BIN = fileURLToPath(import.meta.resolve("@nullspace/server/bin"));
const PROBE = fileURLToPath(import.meta.resolve("./server-probe.ts"));
const LOG = "server.log";
const LOG_TAIL = 4000;
/** How long a server may take to stop when asked to. */
const STOP_MS = 20_000;

/** Memory of a server in bytes, just after a garbage collection. */
export interface ServerMemory {
  rss: number;
  /** Of the heap of JavaScript: the program's data. */
  data: number;
  /** Of the same: what the engine has made of its code. */
  code: number;
}

/** A server in a process of its own, as users have it. Disposing kills its machines and stops it. */
export class BenchServer implements AsyncDisposable {
  readonly client: Nullspace;
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, { url, apiKey }: { url: string; apiKey: string }) {
    this.#child = child;
    this.url = url;
    this.client = new Nullspace({ url, apiKey });
  }

  /** Starts a server on a free port and waits until it is ready. */
  static async start(home: string, args: readonly string[] = []): Promise<BenchServer> {
    await using log = await open(join(home, LOG), "a");
    const probe = ["--expose-gc", "--import", PROBE];
    // For whoever wants to know what takes the time, as --cpu-prof.
    const flags = process.env["NULLSPACE_BENCH_SERVER_FLAGS"]?.split(" ") ?? [];
    const server = [SERVER_BIN, "server", "--json", "--port", "0", "--home", home, ...args];
    const child = spawn(process.execPath, [...probe, ...flags, ...server], {
      stdio: ["ignore", "pipe", log.fd, "ipc"],
      // Apart from Ctrl-C: it is stopped once its machines are gone.
      detached: true,
      // Its records are in its home, whatever other servers here use.
      env: { ...process.env, DATABASE_URL: undefined },
    });
    try {
      return new BenchServer(child, await readyLineOf(child));
    } catch (cause) {
      child.kill("SIGKILL");
      const tail = (await readFile(join(home, LOG), "utf8")).slice(-LOG_TAIL);
      throw new Error(`the server did not start; the end of its log:\n${tail}`, { cause });
    }
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error("the server was never started");
    return this.#child.pid;
  }

  /** Collects garbage first: what is left is in use. */
  async memory(): Promise<ServerMemory> {
    const answer = once(this.#child, "message");
    this.#child.send("memory");
    const values: unknown[] = await answer;
    const read = (name: string) => numberOf(values[0], name);
    return { rss: read("rss"), data: read("data"), code: read("code") };
  }

  /** Forgets the largest memory so far; see {@link peakMemory}. */
  async resetPeakMemory(): Promise<void> {
    await writeFile(`/proc/${this.pid}/clear_refs`, "5");
  }

  /** Largest resident memory since {@link resetPeakMemory}, in bytes. */
  async peakMemory(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, "utf8");
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kib === undefined) throw new Error("the kernel does not tell the largest memory");
    return Number(kib) * 1024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { machines } = this.client;
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    for await (const { id } of machines.list({ fields: ["id"] })) await machines.kill(id);
    this.client.close();
    const exited = once(this.#child, "exit");
    const killing = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    this.#child.kill("SIGTERM");
    await exited;
    clearTimeout(killing);
  }
}

async function readyLineOf(child: ChildProcess): Promise<{ url: string; apiKey: string }> {
  const { stdout } = child;
  if (stdout === null) throw new Error("the server has no standard output");
  const gone = new AbortController();
  child.once("exit", () => gone.abort(new Error("the server ended")));
  const lines: unknown[] = await once(createInterface(stdout), "line", { signal: gone.signal });
  const ready: unknown = JSON.parse(String(lines[0]));
  return { url: stringOf(ready, "url"), apiKey: stringOf(ready, "apiKey") };
}

function stringOf(value: unknown, name: string): string {
  const field = fieldOf(value, name);
  if (typeof field !== "string") throw new Error(`the server's answer has no ${name}`);
  return field;
}

function numberOf(value: unknown, name: string): number {
  const field = fieldOf(value, name);
  if (typeof field !== "number") throw new Error(`the server's answer has no ${name}`);
  return field;
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
