#!/usr/bin/env node
// npm run bench: set-up, then the measurements.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { main } from "./lib/main.mjs";
import { DEFAULT_HOME, NODE, REPOSITORY, toolEnvironment } from "./lib/paths.mjs";
import { endOnAbort } from "./lib/run.mjs";
import { setUp } from "./lib/setup.mjs";

await main(async (signal) => {
  await setUp({ home: DEFAULT_HOME, signal });
  const bench = join(REPOSITORY, "bench/main.ts");
  const child = spawn(NODE, [bench, ...process.argv.slice(2)], {
    env: { ...toolEnvironment(), NULLSPACE_HOME: DEFAULT_HOME },
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
  });
  const release = endOnAbort(child, signal);
  await once(child, "exit").finally(release);
  return child.exitCode ?? 1;
});
