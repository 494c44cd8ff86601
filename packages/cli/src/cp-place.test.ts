import { describe, expect, test } from "vitest";
import { parsePlace, targetPath } from "./cp-place.js";
import { UsageError } from "./usage-error.js";

describe("an end of a copy", () => {
  test.each([
    ["m1:/etc/hosts", { kind: "machine", machineId: "m1", path: "/etc/hosts" }],
    ["m1:a:b", { kind: "machine", machineId: "m1", path: "a:b" }],
    ["m1:", { kind: "machine", machineId: "m1", path: "." }],
    ["-", { kind: "pipe" }],
    ["a.txt", { kind: "local", path: "a.txt" }],
    ["./a:b", { kind: "local", path: "./a:b" }],
    ["/a:b", { kind: "local", path: "/a:b" }],
  ])("%s", (text, place) => expect(parsePlace(text)).toEqual(place));

  test.each([":x", ""])("%j is a mistake", (text) => {
    expect(() => parsePlace(text)).toThrow(UsageError);
  });
});

describe("where a copy goes", () => {
  test.each([
    ["a.txt", "b.txt", false, "b.txt"],
    ["a.txt", "dir", true, "dir/a.txt"],
    ["a.txt", "dir/", false, "dir/a.txt"],
    ["x/dir", "y", true, "y/dir"],
    ["x/dir/", "y", true, "y/dir"],
    ["x/dir/.", "y", true, "y"],
    ["x/dir", "new", false, "new"],
    [".", "y", true, "y"],
    ["a", "/", true, "/a"],
  ])("%s to %s (a folder: %s) is %s", (source, target, isFolder, path) => {
    expect(targetPath(source, target, isFolder)).toBe(path);
  });
});
