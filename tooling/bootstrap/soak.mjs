#!/usr/bin/env node
// npm run soak -- [--cycles N] [--commands N] [--transfer-mb N]: set-up, then a machine through N
// generations, N quick commands, and a file of N MB up and down.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { main } from "./lib/main.mjs";
import { DEFAULT_HOME, REPOSITORY } from "./lib/paths.mjs";
import { runProgram } from "./lib/program.mjs";
import { setUp } from "./lib/setup.mjs";

const USAGE = `Usage: npm run soak -- [options]
  --cycles N        generations of pauses, snapshots and forks (200)
  --commands N      quick commands (10000)
  --transfer-mb N   size of a file that goes up and down (5000)
`;

const OPTIONS = /** @type {const} */ ({
  cycles: { type: "string", default: "200" },
  commands: { type: "string", default: "10000" },
  "transfer-mb": { type: "string", default: "5000" },
});

await main(async (signal) => {
  const { values } = parseArgs({ options: OPTIONS });
  const { cycles, commands, "transfer-mb": transferMb } = values;
  if (![cycles, commands, transferMb].every((value) => /^\d{1,6}$/.test(value))) {
    process.stderr.write(USAGE);
    return 2;
  }
  await setUp({ home: DEFAULT_HOME, signal });
  const vitest = join(REPOSITORY, "tests/node_modules/vitest/vitest.mjs");
  const args = ["run", "--root", join(REPOSITORY, "tests"), "--reporter=verbose", "soak"];
  const env = {
    NULLSPACE_TEST_HOME: DEFAULT_HOME,
    NULLSPACE_SOAK_CYCLES: cycles,
    NULLSPACE_SOAK_COMMANDS: commands,
    NULLSPACE_SOAK_TRANSFER_MB: transferMb,
  };
  return await runProgram(vitest, args, env, signal);
});
