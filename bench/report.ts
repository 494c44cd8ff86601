import type { Facts } from "./facts.ts";
import type { Figure, Findings, Ratio } from "./measurement.ts";

const COLUMNS = 96;

/** Everything of one run, as it is written to the results. */
export interface Report {
  on: Facts;
  ratios: Record<string, Ratio>;
  figures: Record<string, Figure>;
  measurements: Record<string, Pick<Findings, "about" | "samples">>;
}

export function reportOf(on: Facts, findings: ReadonlyMap<string, Findings>): Report {
  const report: Report = { on, ratios: {}, figures: {}, measurements: {} };
  for (const [name, { about, ratios, figures, samples }] of findings) {
    Object.assign(report.ratios, ratios);
    Object.assign(report.figures, figures);
    report.measurements[name] = { about, samples };
  }
  return report;
}

/** The report as JSON: numbers as exact as they are worth. */
export function formatJson(report: Report): string {
  // Lists of numbers in one line each: nobody reads them, but changes of the file show.
  const text = JSON.stringify(report, rounded, 2);
  return `${text.replaceAll(/\[[\d\s.,-]*\]/g, (list) => list.replaceAll(/\s+/g, " "))}\n`;
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(5)) : value;
}

/** The report for people. */
export function formatText(report: Report): string {
  const { on, ratios, figures, measurements } = report;
  const parts = [
    `${on.cpus} × ${on.cpuModel}, ${on.memoryMb} MiB, ${on.accelerator}, QEMU ${on.qemuVersion}, ` +
      `Node ${on.nodeVersion}, ${on.date}`,
    table(
      ["ratio", "value", "limit", "", "of"],
      Object.entries(ratios).map(([name, ratio]) => [
        name,
        `${ratio.value.toFixed(2)}x`,
        boundOf(ratio),
        verdictOf(ratio),
        ratio.of,
      ]),
    ),
    table(
      ["figure", "value", "", "limit", "", "of"],
      Object.entries(figures).map(([name, figure]) => [
        name,
        figure.value.toFixed(1),
        figure.unit,
        figure.limit === undefined ? "" : String(figure.limit),
        verdictOf(figure),
        figure.what,
      ]),
    ),
    table(
      ["samples", "median", "quartiles", "least to most", "", "count"],
      Object.values(measurements).flatMap(({ samples }) =>
        Object.entries(samples).map(([name, { median, low, high, min, max, unit, count }]) => [
          name,
          median.toFixed(1),
          `${low.toFixed(1)} to ${high.toFixed(1)}`,
          `${min.toFixed(1)} to ${max.toFixed(1)}`,
          unit,
          String(count),
        ]),
      ),
    ),
    ...Object.entries(measurements).map(([name, { about }]) => fold(`${name}: ${about}`)),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

function boundOf({ limit, least }: Ratio): string {
  if (limit !== undefined) return `${limit}x`;
  return least === undefined ? "" : `>= ${least}x`;
}

function verdictOf({ value, limit, least }: Pick<Ratio, "value" | "limit" | "least">): string {
  if (limit !== undefined) return value <= limit ? "within" : "OVER";
  if (least !== undefined) return value >= least ? "within" : "UNDER";
  return "";
}

/** Columns as wide as what is in them; empty without rows. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function fold(text: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > COLUMNS) {
      lines.push(line);
      line = "  ";
    }
    line += line.trim() === "" ? word : ` ${word}`;
  }
  return [...lines, line].join("\n");
}
