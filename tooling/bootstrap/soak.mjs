#!/usr/bin/env node
// npm run soak: set-up, then a machine through N generations, and copies of databases under load.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { main } from "./lib/main.mjs";
import { DEFAULT_HOME, REPOSITORY } from "./lib/paths.mjs";
import { runProgram } from "./lib/program.mjs";
import { setUp } from "./lib/setup.mjs";

const USAGE = `Usage: npm run soak -- [--cycles N] [--captures N]

  --cycles N    pauses, snapshots and forks of one machine, each made of the other; 200
  --captures N  copies of a machine with SQLite and PostgreSQL under load, each verified; 50

Either may be 0.
`;

await main(async (signal) => {
  const { values } = parseArgs({
    options: {
      cycles: { type: "string", default: "200" },
      captures: { type: "string", default: "50" },
    },
  });
  const { cycles, captures } = values;
  if (![cycles, captures].every((count) => /^\d{1,6}$/.test(count))) {
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
  };
  return await runProgram(vitest, args, env, signal);
});
