import fc from "fast-check";
import { expect, test } from "vitest";
import { cidr, contains, formatCidr, parseCidr, withoutNested } from "./ipv4.js";

const range = fc
  .tuple(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 32 }))
  .map(([address, length]) => ({ base: address - (address % 2 ** (32 - length)), length }));

test("what is written is read", () => {
  fc.assert(
    fc.property(range, (one) => {
      expect(parseCidr(formatCidr(one))).toEqual(one);
    }),
  );
  expect(parseCidr("203.0.113.7")).toEqual(cidr("203.0.113.7/32"));
});

test.each([
  "",
  "1.2.3",
  "1.2.3.4.5",
  "1.2.3.256",
  "01.2.3.4",
  "0x1.2.3.4",
  "1.2.3.4/33",
  "1.2.3.4/-1",
  "1.2.3.4/24",
  "1.2.3.4/024",
  "1.2.3.4/32/1",
  " 1.2.3.4",
  "1.2.3.4\n",
  "::1",
  "::ffff:1.2.3.4",
  "1.2.3.4; flush ruleset",
])("%j is no range", (text) => {
  expect(parseCidr(text)).toBeUndefined();
});

test("two ranges are nested or apart, and leaving out nested ones loses no address", () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 20 }), (ranges) => {
      const kept = withoutNested(ranges);
      for (const one of ranges) expect(kept.some((outer) => contains(outer, one))).toBe(true);
      for (const one of kept) {
        for (const other of kept) expect(one === other || !contains(one, other)).toBe(true);
      }
    }),
  );
});
