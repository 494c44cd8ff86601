import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { withProgress } from "../progress.js";
import { serverProgram } from "../server-program.js";
import { fields, print, styled } from "../terminal.js";

/** Options of `nullspace up`. */
export interface UpFlags {
  port: number;
  host: string;
  home?: string;
  logLevel: string;
}

/** What the server prints when it is ready. */
interface Ready {
  url: string;
  apiKey: string;
  consoleUrl: string;
}

/** `nullspace up`: gives the exit code of the server. */
export async function up(flags: UpFlags): Promise<number> {
  const args = [
    "--json",
    `--port=${flags.port}`,
    `--host=${flags.host}`,
    `--log-level=${flags.logLevel}`,
    ...(flags.home === undefined ? [] : [`--home=${flags.home}`]),
  ];
  const child = spawn(process.execPath, [serverProgram(), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  // On a terminal Ctrl-C reaches the server too; this program only waits for it.
  const forward = (signal: NodeJS.Signals) => void child.kill(signal);
  process.on("SIGINT", forward).on("SIGTERM", forward).on("SIGHUP", forward);
  try {
    const lines = createInterface({ input: child.stdout });
    const ready = once(lines, "line").then(([line]) => parseReady(String(line)));
    const first = await withProgress("starting the server", Promise.race([ready, exited]));
    if (!Array.isArray(first)) print(welcome(first));
    await exited;
    return child.exitCode ?? 1;
  } finally {
    process.off("SIGINT", forward).off("SIGTERM", forward).off("SIGHUP", forward);
  }
}

function welcome({ url, apiKey, consoleUrl }: Ready): string {
  const facts = fields([
    ["  API", styled("cyan", url)],
    ["  Console", styled("cyan", consoleUrl)],
    ["  Key", apiKey],
  ]);
  return `
${styled("bold", "Nullspace is running.")} ${styled("dim", "Ctrl-C stops it; machines go on.")}

${facts}
${styled("dim", "In another terminal:")}
  nullspace exec $(nullspace machine create) -- uname -a

${styled("dim", "In a program:")}
  export NULLSPACE_API_URL=${url} NULLSPACE_API_KEY=${apiKey}

`;
}

function parseReady(line: string): Ready {
  const value: unknown = JSON.parse(line);
  if (
    typeof value === "object" &&
    value !== null &&
    "url" in value &&
    "apiKey" in value &&
    "consoleUrl" in value
  ) {
    const { url, apiKey, consoleUrl } = value;
    return { url: String(url), apiKey: String(apiKey), consoleUrl: String(consoleUrl) };
  }
  throw new Error(`the server said something else than that it is ready: ${line}`);
}
