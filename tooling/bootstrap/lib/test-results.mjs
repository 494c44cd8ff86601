import { readFile } from "node:fs/promises";
import { parseJson } from "./json.mjs";

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/**
 * What vitest's JSON reporter writes, as far as it is needed.
 *
 * @typedef {object} VitestReport
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {number} numPendingTests
 * @property {number} numTodoTests
 * @property {{ status: string, assertionResults: { status: string }[] }[]} testResults
 */

/**
 * Counts of one package's tests. A package without a report did not get as far
 * as reporting: that is a failure.
 *
 * @param {string} path of the report
 * @returns {Promise<Counts>}
 */
export async function readCounts(path) {
  try {
    /** @type {VitestReport} */
    const report = parseJson(await readFile(path, "utf8"));
    return countReport(report);
  } catch (cause) {
    if (cause instanceof SyntaxError || (cause instanceof Error && "code" in cause)) {
      return { passed: 0, failed: 1, skipped: 0 };
    }
    throw cause;
  }
}

/**
 * A file that failed outside of its tests (it did not load, or a hook of it
 * failed) counts as one failure, since its tests count as none.
 *
 * @param {VitestReport} report
 * @returns {Counts}
 */
export function countReport(report) {
  const brokenFiles = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === "failed" && !assertionResults.some((test) => test.status === "failed"),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + brokenFiles.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/**
 * @param {readonly Counts[]} all
 * @returns {Counts}
 */
export function addCounts(all) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const { passed, failed, skipped } of all) {
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  return total;
}
