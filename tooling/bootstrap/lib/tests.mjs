import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseJson } from "./json.mjs";
import { REPOSITORY, toolEnvironment } from "./paths.mjs";
import { endOnAbort } from "./run.mjs";
import { addCounts, readCounts } from "./test-results.mjs";

/** Report of a package's tests, below its folder. */
const REPORT = "node_modules/.cache/nullspace/vitest.json";

/** Folders that hold packages, and packages themselves. */
const PACKAGES = ["proto", "packages/*", "tests", "bench", "examples", "tooling/*"];

/**
 * Runs the tests of every package, one package after the other: machines under
 * emulation and time limits of other tests do not go together.
 *
 * @param {object} options
 * @param {string} options.home home with the guest image, for tests with real machines
 * @param {AbortSignal} options.signal
 * @returns {Promise<import("./test-results.mjs").Counts & { clean: boolean }>} `clean`: turbo saw no failure
 */
export async function runTests({ home, signal }) {
  const packages = await packagesWithTests();
  await Promise.all(packages.map((folder) => rm(join(folder, REPORT), { force: true })));
  const turbo = ["run", "test", "--concurrency=1", "--continue=always", "--ui=stream"];
  const vitest = ["--reporter=default", "--reporter=json", `--outputFile.json=${REPORT}`];
  const child = spawn("turbo", [...turbo, "--", ...vitest], {
    cwd: REPOSITORY,
    env: { ...toolEnvironment(), NULLSPACE_TEST_HOME: home },
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
  });
  const release = endOnAbort(child, signal);
  await once(child, "exit").finally(release);
  signal.throwIfAborted();
  const reports = packages.map((folder) => join(folder, REPORT));
  const counts = await Promise.all(reports.map((path) => readCounts(path)));
  return { ...addCounts(counts), clean: child.exitCode === 0 };
}

async function packagesWithTests() {
  const folders = [];
  for (const pattern of PACKAGES) {
    if (!pattern.endsWith("/*")) folders.push(join(REPOSITORY, pattern));
    else {
      const parent = join(REPOSITORY, pattern.slice(0, -2));
      folders.push(...(await readdir(parent)).map((name) => join(parent, name)));
    }
  }
  const tested = await Promise.all(folders.map(hasTests));
  return folders.filter((_, index) => tested[index]);
}

/** @param {string} folder */
async function hasTests(folder) {
  try {
    /** @type {{ scripts?: Record<string, string> }} */
    const manifest = parseJson(await readFile(join(folder, "package.json"), "utf8"));
    return manifest.scripts?.["test"] !== undefined;
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw cause;
  }
}
