import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { NODE, REPOSITORY, toolEnvironment } from "./paths.mjs";
import { endOnAbort } from "./run.mjs";

/**
 * Runs the demo against a server; it shows its own steps. When the signal fires
 * it is asked to end, and removes its machine before it does.
 *
 * @param {import("./server-process.mjs").Ready} server
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>} whether every step was right
 */
export async function runDemo(server, signal) {
  signal.throwIfAborted();
  const child = spawn(NODE, [join(REPOSITORY, "examples/demo.ts")], {
    env: {
      ...toolEnvironment(),
      NULLSPACE_API_URL: server.url,
      NULLSPACE_API_KEY: server.apiKey,
    },
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
  });
  const release = endOnAbort(child, signal);
  await once(child, "exit").finally(release);
  return child.exitCode === 0;
}
