import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Paths } from "./paths.js";

let folder: string;
let paths: Paths;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nullspace-paths-"));
  mkdirSync(join(folder, "reserved"));
  paths = new Paths(() => folder, join(folder, "reserved"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("a relative path starts at the working directory", () => {
  expect(paths.target("a/../b").real).toBe(join(folder, "b"));
});

test("a link is an entry of its own, and leads to its target", () => {
  symlinkSync("/usr/share", join(folder, "link"));
  expect(paths.entry("link").real).toBe(join(folder, "link"));
  expect(paths.target("link/x/y")).toEqual({
    path: join(folder, "link/x/y"),
    real: "/usr/share/x/y",
  });
});

test("a dangling link leads where it points", () => {
  symlinkSync("sub/none", join(folder, "dangling"));
  expect(paths.target("dangling").real).toBe(join(folder, "sub/none"));
});

test("no way leads into the reserved folder", () => {
  symlinkSync(join(folder, "reserved"), join(folder, "link"));
  symlinkSync(join(folder, "reserved/none"), join(folder, "dangling"));
  symlinkSync(".", join(folder, "here"));
  for (const path of [
    "reserved",
    "reserved/x",
    "link/x",
    "dangling",
    "here/reserved",
    "here/link/x",
  ]) {
    expect(() => paths.target(path)).toThrow(/reserved/);
  }
  expect(() => paths.entry("link/x")).toThrow(/reserved/);
  expect(paths.entry("link").real).toBe(join(folder, "link"));
  expect(paths.target("reserved-not").real).toBe(join(folder, "reserved-not"));
});

test("what holds the reserved folder is neither moved nor removed", () => {
  expect(() => paths.refuseParentOfReserved(paths.entry("."))).toThrow(/reserved/);
  paths.refuseParentOfReserved(paths.entry("other"));
});
