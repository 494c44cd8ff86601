#!/usr/bin/env node
// npm test: set-up, then every test of every package, real machines included.
import { readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { TEST_PACKAGES } from "./lib/debian-packages.mjs";
import { main } from "./lib/main.mjs";
import { DEFAULT_HOME } from "./lib/paths.mjs";
import { setUp } from "./lib/setup.mjs";
import { runTests } from "./lib/tests.mjs";

/** A home apart from the user's: tests damage what they test. */
const HOME = process.env["NULLSPACE_TEST_HOME"] ?? `${DEFAULT_HOME}-test`;

/** Where the counts go instead of the closing line, for a caller that adds to them. */
const COUNTS_FILE = process.env["NULLSPACE_TEST_COUNTS"];

await main(async (signal) => {
  const image = await setUp({ home: HOME, debianPackages: TEST_PACKAGES, signal });
  if (!image.reused) await removeOldImages(image.directory);
  const { passed, failed, skipped, clean } = await runTests({ home: HOME, signal });
  // Turbo may know of a failure that no report has.
  const failures = failed === 0 && !clean ? 1 : failed;
  if (skipped > 0) process.stdout.write(`${skipped} skipped\n`);
  if (COUNTS_FILE === undefined) process.stdout.write(`${passed} passed, ${failures} failed\n`);
  else await writeFile(COUNTS_FILE, `${passed} ${failures}\n`);
  return failures === 0 && passed > 0 ? 0 : 1;
});

/**
 * Removes images before this one and what was captured of them: each change of
 * the agent makes a new one, and nothing in this home uses the others.
 *
 * @param {string} current
 */
async function removeOldImages(current) {
  await rm(join(HOME, "snapshots"), { recursive: true, force: true });
  for (const name of await readdir(join(HOME, "images"))) {
    if (name !== basename(current)) await rm(join(HOME, "images", name), { recursive: true });
  }
}
