import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

/** How a run of the program ended. */
export interface Run {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

/** Runs of the built program with an environment of their own. */
export class Cli {
  /** Environment besides PATH; every run sees it as it is then. */
  readonly env: Record<string, string>;

  constructor(env: Record<string, string>) {
    this.env = env;
  }

  /** Starts the program. */
  start(...args: string[]): ChildProcess {
    const env = { PATH: process.env.PATH, ...this.env };
    return spawn(process.execPath, [MAIN, ...args], { env, stdio: "pipe" });
  }

  /** Runs the program to its end with this standard input. */
  async run(args: string[], stdin: string | Uint8Array = ""): Promise<Run> {
    const child = this.start(...args);
    const ended = collect(child);
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(stdin);
    return ended;
  }
}

/** Collects what a started program writes until it ends. */
export async function collect(child: ChildProcess): Promise<Run> {
  const stdout: Buffer[] = [];
  let stderr = "";
  child.stdout?.on("data", (data: Buffer) => stdout.push(data));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  await once(child, "close");
  return { code: child.exitCode, stdout: Buffer.concat(stdout), stderr };
}
