import { expect, test } from "vitest";
import { joined, lineOf, parentOf, resolved } from "./paths.js";

test("paths are taken apart and put together", () => {
  expect(["/a/b", "/a", "/"].map(parentOf)).toEqual(["/a", "/", "/"]);
  expect([joined("/", "a"), joined("/a", "b"), joined("/a", "/b")]).toEqual(["/a", "/a/b", "/b"]);
  expect(lineOf("/a/b").map(({ path }) => path)).toEqual(["/", "/a", "/a/b"]);
});

test("links lead where they point", () => {
  expect(resolved("/a/b", "c")).toBe("/a/b/c");
  expect(resolved("/a/b", "../c/./d/")).toBe("/a/c/d");
  expect(resolved("/a/b", "../../../..")).toBe("/");
  expect(resolved("/a", "/etc/hosts")).toBe("/etc/hosts");
});
