#!/usr/bin/env node
// npm run fuzz: set-up without a guest, then hostile bytes for everything that reads what guests send.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { main } from "./lib/main.mjs";
import { REPOSITORY } from "./lib/paths.mjs";
import { runProgram } from "./lib/program.mjs";
import { ensureToolchain } from "./lib/toolchain.mjs";
import { ensureBuild, ensureDependencies } from "./lib/workspace.mjs";

const USAGE = `Usage: npm run fuzz -- [options]

  --seconds N   how long each parser is fuzzed; 60
  --seed S      begin as a former run did, which told its seed; another each time
  --path P      of a seed, the one run that failed

A failure tells the input, made as small as it can be, and the seed and path that lead there again.
`;

const OPTIONS = /** @type {const} */ ({
  seconds: { type: "string", default: "60" },
  seed: { type: "string", default: "" },
  path: { type: "string", default: "" },
});

await main(async (signal) => {
  const { seconds, seed, path } = parseArgs({ options: OPTIONS }).values;
  if (!/^[1-9]\d{0,5}$/.test(seconds) || !/^\d{0,10}$/.test(seed) || !/^[\d:]*$/.test(path)) {
    process.stderr.write(USAGE);
    return 2;
  }
  await ensureToolchain(signal);
  await ensureDependencies(signal);
  await ensureBuild(signal);
  const server = join(REPOSITORY, "packages/server");
  const vitest = join(server, "node_modules/vitest/vitest.mjs");
  const args = ["run", "--root", server, "--reporter=verbose", "src/hostile-bytes.test.ts"];
  const env = {
    NULLSPACE_FUZZ_SECONDS: seconds,
    ...(seed === "" ? {} : { NULLSPACE_FUZZ_SEED: seed }),
    ...(path === "" ? {} : { NULLSPACE_FUZZ_PATH: path }),
  };
  return await runProgram(vitest, args, env, signal);
});
