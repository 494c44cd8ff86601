import type { Check } from "./check.js";

const MARKS: Readonly<Record<Check["status"], string>> = { ok: "ok  ", warn: "warn", fail: "FAIL" };

/** The checks as a table for people; remedies below what they are for. */
export function formatChecks(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  return checks
    .map(({ name, status, detail, remedy }) => {
      const line = `${MARKS[status]}  ${name.padEnd(width)}  ${detail}\n`;
      return remedy === "" ? line : `${line}      ${" ".repeat(width)}  -> ${remedy}\n`;
    })
    .join("");
}

/** Whether a server would work. */
export function allPassed(checks: readonly Check[]): boolean {
  return checks.every(({ status }) => status !== "fail");
}
