#!/usr/bin/env node
// npm run bench: set-up, then the measurements.
import { join } from "node:path";
import { BENCH_PACKAGES } from "./lib/debian-packages.mjs";
import { main } from "./lib/main.mjs";
import { DEFAULT_HOME, REPOSITORY } from "./lib/paths.mjs";
import { runProgram } from "./lib/program.mjs";
import { setUp } from "./lib/setup.mjs";

await main(async (signal) => {
  await setUp({ home: DEFAULT_HOME, debianPackages: BENCH_PACKAGES, signal });
  const env = { NULLSPACE_HOME: DEFAULT_HOME };
  return await runProgram(join(REPOSITORY, "bench/main.ts"), process.argv.slice(2), env, signal);
});
