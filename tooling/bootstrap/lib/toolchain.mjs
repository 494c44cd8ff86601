import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseJson } from "./json.mjs";
import { NODE, TOOLCHAIN } from "./paths.mjs";
import { run } from "./run.mjs";
import { step } from "./terminal.mjs";

/**
 * @typedef {object} LockedPackage
 * @property {string} [version]
 * @property {string} [integrity]
 * @property {string[]} [cpu]
 */
/** @typedef {{ packages?: Record<string, LockedPackage> }} Lockfile */

/**
 * Installs the pinned Node.js and pnpm unless they are there.
 *
 * @param {AbortSignal} signal
 */
export async function ensureToolchain(signal) {
  if (await isInstalled()) return;
  await step("Node.js and pnpm", async (detail) => {
    // The npm that runs this script, or else any.
    const npm = process.env["npm_execpath"];
    const [command, ...before] = npm?.endsWith(".js") === true ? [process.execPath, npm] : ["npm"];
    // Not `npm ci`: it wants every optional package of every platform in the lockfile, also those
    // that a registry does not have. What is locked is installed as locked all the same.
    const install = ["install", "--no-save", "--no-audit", "--no-fund"];
    await run(command ?? "npm", [...before, ...install], {
      cwd: TOOLCHAIN,
      env: process.env,
      log: "toolchain",
      signal,
      detail,
      remedy: "Check that this machine reaches its npm registry (npm ping) and run again.",
    });
  });
}

async function isInstalled() {
  const wanted = await readLockfile(join(TOOLCHAIN, "package-lock.json"));
  // npm writes this one when it has installed everything.
  const present = await readLockfile(join(TOOLCHAIN, "node_modules/.package-lock.json"));
  if (wanted === undefined || present === undefined || !matches(wanted, present)) return false;
  return promisify(execFile)(NODE, ["--version"]).then(
    () => true,
    () => false,
  );
}

/**
 * Whether what npm installed is what the lockfile wants, on this machine.
 *
 * @param {Lockfile} wanted
 * @param {Lockfile} present
 */
export function matches(wanted, present) {
  return Object.entries(wanted.packages ?? {}).every(([name, { integrity, cpu }]) => {
    if (name === "" || cpu?.includes(process.arch) === false) return true;
    return present.packages?.[name]?.integrity === integrity;
  });
}

/**
 * @param {string} path
 * @returns {Promise<Lockfile | undefined>}
 */
async function readLockfile(path) {
  try {
    return parseJson(await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
}
