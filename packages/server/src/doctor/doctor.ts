import { resolve } from "node:path";
import type { Check } from "./check.js";
import { findGarbage } from "./garbage.js";
import { checkHost } from "./host-checks.js";
import { allPassed, formatChecks } from "./report.js";
import { checkServer } from "./server-checks.js";

/** Options of `nullspace-server doctor`. */
export interface DoctorOptions {
  home: string;
  host: string;
  port: number;
  qemu: string;
  json: boolean;
  gc: boolean;
  dryRun: boolean;
}

/** Prints what it finds, and gives the exit code: 0 when a server would work. */
export async function runDoctor(options: DoctorOptions): Promise<number> {
  const home = resolve(options.home);
  if (options.gc) return await collectGarbage(home, options);
  const databaseUrl = process.env["DATABASE_URL"];
  const checks: Check[] = [];
  for await (const check of checkServer({ ...options, home, databaseUrl })) checks.push(check);
  // Without a home to write to there is nothing to look at.
  if (allPassed(checks.filter(({ name }) => name === "home"))) {
    for await (const check of checkHost(home, options.qemu)) checks.push(check);
  }
  const passed = allPassed(checks);
  const json = () => `${JSON.stringify({ ok: passed, checks }, null, 2)}\n`;
  process.stdout.write(options.json ? json() : formatChecks(checks));
  return passed ? 0 : 1;
}

async function collectGarbage(home: string, { json, dryRun }: DoctorOptions): Promise<number> {
  const garbage = await findGarbage(home, { remove: !dryRun });
  const verb = dryRun ? "would be removed" : "removed";
  const bytes = garbage.reduce((sum, one) => sum + one.bytes, 0);
  const lines = garbage.map((one) => `${one.id}  ${one.bytes} bytes\n`).join("");
  const words = `${lines}${garbage.length} snapshots that nobody needs ${verb}, ${bytes} bytes\n`;
  process.stdout.write(json ? `${JSON.stringify({ dryRun, garbage }, null, 2)}\n` : words);
  return 0;
}
