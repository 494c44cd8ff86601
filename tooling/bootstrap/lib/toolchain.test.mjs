import { describe, expect, it } from "vitest";
import { matches } from "./toolchain.mjs";

const WANTED = {
  packages: {
    "": {},
    "node_modules/pnpm": { version: "12.0.0", integrity: "sha512-a" },
    "node_modules/node-here": { version: "24.0.0", integrity: "sha512-b", cpu: [process.arch] },
    "node_modules/node-there": { version: "24.0.0", integrity: "sha512-c", cpu: ["pdp11"] },
  },
};

describe("matches", () => {
  it("asks only for what this machine can have", () => {
    const { "node_modules/node-there": _, ...here } = WANTED.packages;
    expect(matches(WANTED, { packages: here })).toBe(true);
  });

  it("sees what is missing and what is another version", () => {
    const { "node_modules/pnpm": pnpm, ...others } = WANTED.packages;
    expect(matches(WANTED, { packages: others })).toBe(false);
    const other = { ...pnpm, integrity: "sha512-z" };
    expect(matches(WANTED, { packages: { ...others, "node_modules/pnpm": other } })).toBe(false);
    expect(matches(WANTED, {})).toBe(false);
  });
});
