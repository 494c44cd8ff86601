import { describe, expect, it } from "vitest";
import type { Findings } from "./measurement.ts";
import { summarise } from "./statistics.ts";
import { formatJson, formatText, reportOf } from "./report.ts";

const FACTS = {
  date: "2026-01-02T03:04:05.000Z",
  cpuModel: "A Processor",
  cpus: 2,
  memoryMb: 1024,
  accelerator: "kvm",
  qemuVersion: "7.2.0",
  nodeVersion: "24.0.0",
};

const FINDINGS: Findings = {
  about: "One thing against another.",
  ratios: {
    slow_vs_fast: { value: 1.2345678, limit: 1.2, of: "slow / fast" },
    fast_vs_slow: { value: 0.81, limit: 1.2, of: "fast / slow" },
  },
  figures: {
    rate: { value: 4.25, unit: "MB/s", what: "of it" },
    lost: { value: 1, unit: "1", limit: 0, what: "of all" },
  },
  samples: {
    slow_ms: { ...summarise([1, 2, 3]), unit: "ms" },
  },
};

const REPORT = reportOf(FACTS, new Map([["thing", FINDINGS]]));

describe("the report", () => {
  it("has the ratios of all measurements by their names", () => {
    expect(REPORT.ratios["slow_vs_fast"]?.value).toBe(1.2345678);
    expect(REPORT.measurements["thing"]?.about).toBe("One thing against another.");
  });

  it("is JSON of numbers that are not too exact", () => {
    const json: unknown = JSON.parse(formatJson(REPORT));
    expect(json).toMatchObject({ ratios: { slow_vs_fast: { value: 1.2346, limit: 1.2 } } });
  });

  it("tells people which limits are kept", () => {
    const lines = formatText(REPORT).split("\n");
    expect(lines.find((line) => line.startsWith("slow_vs_fast"))).toMatch(/1\.23x +1\.2x +OVER/);
    expect(lines.find((line) => line.startsWith("fast_vs_slow"))).toMatch(/0\.81x +1\.2x +within/);
    expect(lines.find((line) => line.startsWith("lost"))).toMatch(/1\.0 +1 +0 +OVER +of all/);
    expect(lines.find((line) => line.startsWith("rate"))).toMatch(/4\.[23] +MB\/s +of it/);
    expect(lines.find((line) => line.startsWith("slow_ms"))).toContain("1.5 to 2.5");
  });
});
