import { spawn } from "node:child_process";
import { once } from "node:events";
import { Nullspace, NullspaceError } from "@nullspace/sdk";
import { checkKey } from "../check-key.js";
import { type Account, resolveAccount } from "../configuration.js";
import type { CommonOptions } from "../options.js";
import { serverProgram } from "../server-program.js";
import { print, printJson, styled } from "../terminal.js";

/** Options of `nullspace doctor`. */
export interface DoctorFlags extends CommonOptions {
  home?: string;
  gc?: boolean;
  dryRun?: boolean;
}

/** How long the server may take to answer, in milliseconds. */
const ANSWER_TIMEOUT_MS = 5_000;

/** Whether the configured server answers and takes the key. */
interface ApiCheck {
  ok: boolean;
  url: string | null;
  message: string;
}

/**
 * `nullspace doctor`: the server's own check of this computer, then whether the
 * configured server answers. Gives the exit code: the computer's, since a server
 * that is not started yet is no fault of it.
 */
export async function doctor(flags: DoctorFlags): Promise<number> {
  if (flags.home !== undefined) process.env.NULLSPACE_HOME = flags.home;
  const args = [
    "doctor",
    ...(flags.home === undefined ? [] : ["--home", flags.home]),
    ...(flags.json ? ["--json"] : []),
    ...(flags.gc === true ? ["--gc"] : []),
    ...(flags.dryRun === true ? ["--dry-run"] : []),
  ];
  const host = spawn(process.execPath, [serverProgram(), ...args], {
    stdio: ["ignore", flags.json ? "pipe" : "inherit", "inherit"],
  });
  let report = "";
  host.stdout?.setEncoding("utf8").on("data", (text: string) => (report += text));
  await once(host, "close");
  if (flags.gc === true) {
    print(report);
    return host.exitCode ?? 1;
  }
  const api = await checkApi(flags);
  if (flags.json) printJson({ host: parseReport(report), api });
  else print(`${api.ok ? styled("green", "✓") : styled("yellow", "!")} API  ${api.message}\n`);
  return host.exitCode ?? 1;
}

async function checkApi(flags: CommonOptions): Promise<ApiCheck> {
  let account: Account | undefined;
  try {
    account = await resolveAccount(flags);
    await using client = new Nullspace({ url: account.url, apiKey: account.apiKey });
    await checkKey(client, ANSWER_TIMEOUT_MS);
    const message = `${account.url} answers and takes the key (${account.apiKeyOrigin})`;
    return { ok: true, url: account.url, message };
  } catch (error) {
    if (!(error instanceof NullspaceError)) throw error;
    return { ok: false, url: account?.url ?? null, message: error.message };
  }
}

function parseReport(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
