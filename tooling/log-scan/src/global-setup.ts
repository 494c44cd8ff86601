import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LOGS_VARIABLE, scanLogs } from "./scan.ts";

/**
 * For vitest: collects the logs of a run's servers, and fails the run at its end when there is a
 * credential in them.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "nullspace-test-logs-"));
  process.env[LOGS_VARIABLE] = folder;
  return async () => {
    const { lines, found } = await scanLogs(folder);
    await rm(folder, { recursive: true });
    if (found.length > 0) {
      throw new Error(`${found.length} logged lines hold a credential:\n${found.join("\n")}`);
    }
    process.stdout.write(`no credential in ${lines} lines that servers logged\n`);
  };
}
