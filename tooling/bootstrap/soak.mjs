#!/usr/bin/env node
// npm run soak: set-up, then a machine through N generations, copies of databases under load, quick
// commands, and a file of N MB up and down.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { main } from "./lib/main.mjs";
import { DEFAULT_HOME, REPOSITORY } from "./lib/paths.mjs";
import { runProgram } from "./lib/program.mjs";
import { setUp } from "./lib/setup.mjs";

const USAGE = `Usage: npm run soak -- [options]

  --cycles N        pauses, snapshots and forks of one machine, each made of the other; 200
  --captures N      copies of a machine with SQLite and PostgreSQL under load, each verified; 50
  --commands N      quick commands; 10000
  --transfer-mb N   size of a file that goes up and down; 5000

Cycles or captures may be 0.
`;

const OPTIONS = /** @type {const} */ ({
  cycles: { type: "string", default: "200" },
  captures: { type: "string", default: "50" },
  commands: { type: "string", default: "10000" },
  "transfer-mb": { type: "string", default: "5000" },
});

await main(async (signal) => {
  const { values } = parseArgs({ options: OPTIONS });
  const { cycles, captures, commands, "transfer-mb": transferMb } = values;
  if (![cycles, captures, commands, transferMb].every((count) => /^\d{1,6}$/.test(count))) {
    process.stderr.write(USAGE);
    return 2;
  }
  const files = [
    ...(Number(cycles) > 0 ? ["soak"] : []),
    ...(Number(captures) > 0 ? ["databases"] : []),
  ];
  if (files.length === 0) return 0;
  // Machines get the PostgreSQL of this computer, and their disks are checked by it.
  const debianPackages = Number(captures) > 0 ? ["postgresql"] : [];
  await setUp({ home: DEFAULT_HOME, debianPackages, signal });
  const vitest = join(REPOSITORY, "tests/node_modules/vitest/vitest.mjs");
  const args = ["run", "--root", join(REPOSITORY, "tests"), "--reporter=verbose", ...files];
  const env = {
    NULLSPACE_TEST_HOME: DEFAULT_HOME,
    NULLSPACE_SOAK_CYCLES: cycles,
    NULLSPACE_SOAK_CAPTURES: captures,
    NULLSPACE_SOAK_COMMANDS: commands,
    NULLSPACE_SOAK_TRANSFER_MB: transferMb,
  };
  return await runProgram(vitest, args, env, signal);
});
