import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ByteRanges } from "./byte-ranges.js";

test("agrees with a set of bytes", () => {
  const part = fc.tuple(fc.nat(60), fc.nat(12));
  fc.assert(
    fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
      const ranges = new ByteRanges();
      const bytes = new Set<number>();
      for (const [start, length] of parts) {
        ranges.add(start, start + length);
        for (let i = 0; i < length; i++) bytes.add(start + i);
      }
      const starts = [...bytes].filter((byte) => !bytes.has(byte - 1));
      expect(ranges.count).toBe(starts.length);
      const isWhole = bytes.size === 0 || (starts.length === 1 && starts[0] === 0);
      expect(ranges.areExactly(bytes.size)).toBe(isWhole);
      expect(ranges.areExactly(bytes.size + 1)).toBe(false);
    }),
  );
});
