// npm run bench [-- [--quick] [--full] [name ...]]: measures, prints, and writes bench/results.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Bench } from "./bench.ts";
import { capture } from "./capture.ts";
import { copies } from "./copies.ts";
import { create } from "./create.ts";
import { density } from "./density.ts";
import { exec } from "./exec.ts";
import { gatherFacts } from "./facts.ts";
import { fork } from "./fork.ts";
import { growth } from "./growth.ts";
import { load } from "./load.ts";
import type { Findings, Measurement } from "./measurement.ts";
import { memory } from "./memory.ts";
import { formatJson, formatText, reportOf } from "./report.ts";
import { preview } from "./preview.ts";
import { ssh } from "./ssh.ts";
import { transfer } from "./transfer.ts";
import { warm } from "./warm.ts";

const MEASUREMENTS: readonly Measurement[] = [
  create,
  exec,
  ssh,
  copies,
  load,
  capture,
  fork,
  warm,
  density,
  growth,
  transfer,
  preview,
  memory,
];
const RESULTS = join(import.meta.dirname, "results");
const DEFAULT_HOME = "/var/lib/nullspace";
const INTERRUPTED = 130;

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => stop.abort());
try {
  process.exitCode = await run(process.argv.slice(2), stop.signal);
} catch (error) {
  if (!stop.signal.aborted) throw error;
  note("stopped");
  process.exitCode = INTERRUPTED;
}

async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { quick: { type: "boolean" }, full: { type: "boolean" } },
    allowPositionals: true,
  });
  const { quick = false, full = false } = values;
  const unknown = positionals.filter((name) => !MEASUREMENTS.some((one) => one.name === name));
  if (unknown.length > 0) {
    note(`no such measurement: ${unknown.join(", ")}`);
    note(`there are: ${MEASUREMENTS.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const chosen =
    positionals.length === 0
      ? MEASUREMENTS
      : MEASUREMENTS.filter(({ name }) => positionals.includes(name));

  await using bench = await Bench.open({
    home: process.env["NULLSPACE_HOME"] ?? DEFAULT_HOME,
    quick,
    full,
    signal,
    note,
  });
  const findings = new Map<string, Findings>();
  for (const measurement of chosen) {
    note(measurement.name);
    findings.set(measurement.name, await measurement.run(bench));
  }
  const report = reportOf(gatherFacts(bench), findings);
  process.stdout.write(`\n${formatText(report)}\n`);
  // Only a whole run is worth keeping for others.
  const whole = chosen === MEASUREMENTS && !quick;
  const path = join(RESULTS, whole ? "latest.json" : "partial.json");
  await mkdir(RESULTS, { recursive: true });
  await writeFile(path, formatJson(report));
  note(`written to ${path}`);
  return 0;
}

/** Progress goes to standard error: standard output has the results alone. */
function note(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
