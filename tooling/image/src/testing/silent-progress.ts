import type { Progress } from "../progress.ts";

/** Progress that keeps how each step ended, for a test to look at. */
export function silentProgress(): Progress & { readonly ended: string[] } {
  const ended: string[] = [];
  return {
    ended,
    begin: (title) => ({
      detail: () => undefined,
      end: (remark) => ended.push(`${title}: ${remark ?? "built"}`),
      fail: () => ended.push(`${title}: failed`),
    }),
    note: (text) => ended.push(text),
  };
}
