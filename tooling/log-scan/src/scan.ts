import { appendFileSync, createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findToken, redactSecrets } from "@nullspace/proto/tokens";

/** Names the folder where a test run's servers leave their logs. */
export const LOGS_VARIABLE = "NULLSPACE_TEST_LOGS";

/**
 * Keeps a piece of a server's log for the scan at the end of the run, where there will be one.
 *
 * @param source Tells this process's servers apart: pieces of a line may come one by one.
 */
export function keepLog(source: string | number, text: string): void {
  const folder = process.env[LOGS_VARIABLE];
  if (folder !== undefined) appendFileSync(join(folder, `${process.pid}-${source}.log`), text);
}

/** What {@link scanLogs} saw. */
export interface Scan {
  readonly lines: number;
  /** Lines with a credential in them, each without it. */
  readonly found: readonly string[];
}

/** Looks for credentials of every family in all files of a folder. */
export async function scanLogs(folder: string): Promise<Scan> {
  const found: string[] = [];
  let lines = 0;
  for (const name of await readdir(folder)) {
    for await (const line of createInterface({ input: createReadStream(join(folder, name)) })) {
      lines++;
      if (findToken(line) >= 0) found.push(redactSecrets(line));
    }
  }
  return { lines, found };
}
