#!/usr/bin/env node
// npm run soak -- --cycles N: set-up, then a machine through N generations.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { main } from "./lib/main.mjs";
import { DEFAULT_HOME, REPOSITORY } from "./lib/paths.mjs";
import { runProgram } from "./lib/program.mjs";
import { setUp } from "./lib/setup.mjs";

const USAGE = "Usage: npm run soak -- [--cycles N]    200 unless told otherwise\n";

await main(async (signal) => {
  const { values } = parseArgs({ options: { cycles: { type: "string", default: "200" } } });
  if (!/^[1-9]\d{0,5}$/.test(values.cycles)) {
    process.stderr.write(USAGE);
    return 2;
  }
  await setUp({ home: DEFAULT_HOME, signal });
  const vitest = join(REPOSITORY, "tests/node_modules/vitest/vitest.mjs");
  const args = ["run", "--root", join(REPOSITORY, "tests"), "--reporter=verbose", "soak"];
  const env = { NULLSPACE_TEST_HOME: DEFAULT_HOME, NULLSPACE_SOAK_CYCLES: values.cycles };
  return await runProgram(vitest, args, env, signal);
});
