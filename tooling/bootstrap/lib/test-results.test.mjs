import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { addCounts, countReport, readCounts } from "./test-results.mjs";

const REPORT = {
  numPassedTests: 3,
  numFailedTests: 1,
  numPendingTests: 2,
  numTodoTests: 1,
  testResults: [
    { status: "passed", assertionResults: [{ status: "passed" }] },
    { status: "failed", assertionResults: [{ status: "failed" }, { status: "passed" }] },
  ],
};

describe("counts of tests", () => {
  it("are those of the report", () => {
    expect(countReport(REPORT)).toEqual({ passed: 3, failed: 1, skipped: 3 });
  });

  it("have a failure for a file that did not load or whose hook failed", () => {
    const testResults = [
      { status: "failed", assertionResults: [] },
      { status: "failed", assertionResults: [{ status: "passed" }] },
    ];
    expect(countReport({ ...REPORT, numFailedTests: 0, testResults }).failed).toBe(2);
  });

  it("have a failure for a package that never reported", async () => {
    const folder = await mkdtemp(join(tmpdir(), "counts-"));
    try {
      const path = join(folder, "report.json");
      expect((await readCounts(path)).failed).toBe(1);
      await writeFile(path, '{"numPassedTests": 3, "num');
      expect((await readCounts(path)).failed).toBe(1);
      await writeFile(path, JSON.stringify(REPORT));
      expect((await readCounts(path)).passed).toBe(3);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("add up", () => {
    const one = { passed: 1, failed: 2, skipped: 3 };
    expect(addCounts([one, one])).toEqual({ passed: 2, failed: 4, skipped: 6 });
    expect(addCounts([])).toEqual({ passed: 0, failed: 0, skipped: 0 });
  });
});
