import { spawn } from "node:child_process";
import { once } from "node:events";
import { NODE, toolEnvironment } from "./paths.mjs";
import { endOnAbort } from "./run.mjs";

/**
 * Runs a program of the repository to its end.
 *
 * @param {string} path
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env beside that of the tools
 * @param {AbortSignal} signal ends it
 * @returns {Promise<number>} its exit status
 */
export async function runProgram(path, args, env, signal) {
  const child = spawn(NODE, [path, ...args], {
    env: { ...toolEnvironment(), ...env },
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
  });
  const release = endOnAbort(child, signal);
  await once(child, "exit").finally(release);
  return child.exitCode ?? 1;
}
