import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkConditions, rangeHolds } from "./conditions.js";
import { parseContentRange, parseRange } from "./ranges.js";

describe("Range", () => {
  test.each([
    ["bytes=0-", { start: 0, end: 10 }],
    ["bytes=0-0", { start: 0, end: 1 }],
    ["bytes=5-7", { start: 5, end: 8 }],
    ["bytes=5-99", { start: 5, end: 10 }],
    ["bytes=-3", { start: 7, end: 10 }],
    ["bytes=-99", { start: 0, end: 10 }],
    ["bytes=10-", "unsatisfiable"],
    ["bytes=-0", "unsatisfiable"],
    ["bytes=7-5", "whole"],
    ["bytes=-", "whole"],
    ["bytes=0-1,3-4", "whole"],
    ["lines=0-1", "whole"],
    [undefined, "whole"],
  ])("%s of ten bytes is %o", (header, range) => {
    expect(parseRange(header, 10)).toEqual(range);
  });

  test("of any text stays within the file", () => {
    const numbers = fc.tuple(fc.maxSafeNat(), fc.maxSafeNat());
    const texts = numbers.map(([first, last]) => `bytes=${first}-${last}`);
    fc.assert(
      fc.property(fc.oneof(fc.string(), texts), fc.nat(), (header, size) => {
        const range = parseRange(header, size);
        if (typeof range === "string") return;
        expect(range.start).toBeGreaterThanOrEqual(0);
        expect(range.start).toBeLessThan(range.end);
        expect(range.end).toBeLessThanOrEqual(size);
      }),
    );
  });
});

test.each([
  ["bytes 0-4/10", { span: { start: 0, end: 5 }, total: 10 }],
  ["bytes */10", { span: undefined, total: 10 }],
  ["bytes 5-4/10", undefined],
  ["bytes 5-10/10", undefined],
  ["bytes 0-4/*", undefined],
  ["0-4/10", undefined],
])("Content-Range %s is %o", (header, range) => {
  expect(parseContentRange(header)).toEqual(range);
});

describe("conditions", () => {
  const modifiedAt = Date.parse("2026-01-02T03:04:05.678Z");
  const file = { etag: '"v1"', modifiedAt };
  const same = new Date(modifiedAt).toUTCString();
  const before = new Date(modifiedAt - 60_000).toUTCString();

  test.each([
    [{ "if-match": '"v1"' }, undefined],
    [{ "if-match": "*" }, undefined],
    [{ "if-match": '"v0", "v1"' }, undefined],
    [{ "if-match": 'W/"v1"' }, 412],
    [{ "if-match": '"v2"', "if-none-match": '"v1"' }, 412],
    [{ "if-unmodified-since": same }, undefined],
    [{ "if-unmodified-since": before }, 412],
    [{ "if-none-match": '"v1"' }, 304],
    [{ "if-none-match": 'W/"v1"' }, 304],
    [{ "if-none-match": '"v2"', "if-modified-since": same }, undefined],
    [{ "if-modified-since": same }, 304],
    [{ "if-modified-since": before }, undefined],
    [{ "if-modified-since": "yesterday" }, undefined],
  ])("%o is %s", (headers, verdict) => {
    expect(checkConditions(headers, file)).toBe(verdict);
  });

  test.each([
    ['"v1"', true],
    ['W/"v1"', false],
    ['"v2"', false],
    [same, true],
    [before, false],
    ["nonsense", false],
  ])("If-Range %s: %s", (header, holds) => {
    expect(rangeHolds({ "if-range": header }, file)).toBe(holds);
  });
});
