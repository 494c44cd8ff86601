import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import { DEFAULT_URL, Nullspace } from "@nullspace/sdk";
import { askSecretly } from "../ask.js";
import { checkKey } from "../check-key.js";
import { configFile } from "../configuration.js";
import type { CommonOptions } from "../options.js";
import { withProgress } from "../progress.js";
import { print, printJson, styled } from "../terminal.js";
import { UsageError } from "../usage-error.js";

/** `nullspace login` */
export async function login(flags: CommonOptions): Promise<void> {
  const url = flags.url ?? (process.env.NULLSPACE_API_URL || DEFAULT_URL);
  const apiKey = flags.apiKey ?? (await askForKey(url));
  if (apiKey === "") throw new UsageError("no key was given");
  await using client = new Nullspace({ url, apiKey });
  await withProgress("checking the key", checkKey(client));
  const file = configFile();
  await storePrivately(file, { url: client.url, apiKey });
  if (flags.json) printJson({ url: client.url, file });
  else print(`${styled("green", "✓")} logged in to ${client.url}, stored in ${file}\n`);
}

async function askForKey(url: string): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).trim();
  return askSecretly(`API key for ${url} (not shown): `);
}

/** Writes a file that only its owner can read, whole or not at all. */
async function storePrivately(file: string, value: unknown): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  await chmod(temporary, 0o600);
  await rename(temporary, file);
}
