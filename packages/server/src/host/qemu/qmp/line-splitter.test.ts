import * as fc from "fast-check";
import { expect, test } from "vitest";
import { FramingError, LineSplitter } from "./line-splitter.js";

const cutAt = (bytes: Buffer, cuts: number[]) => {
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b);
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
};

test("lines come out as they went in, however the stream is torn", () => {
  const line = fc.string({ unit: "grapheme" }).filter((text) => !/[\r\n]/.test(text));
  fc.assert(
    fc.property(
      fc.array(line),
      fc.constantFrom("\n", "\r\n"),
      fc.array(fc.nat()),
      (lines, end, cuts) => {
        const stream = Buffer.from(lines.map((text) => text + end).join(""));
        const splitter = new LineSplitter(stream.length);
        const seen = cutAt(stream, cuts).flatMap((piece) => [...splitter.push(piece)]);
        expect(seen).toEqual(lines);
      },
    ),
  );
});

test("a line without an end is refused at the bound, not held for ever", () => {
  const splitter = new LineSplitter(1000);
  const chunk = Buffer.alloc(400, "x");
  expect([...splitter.push(chunk), ...splitter.push(chunk)]).toEqual([]);
  expect(() => [...splitter.push(chunk)]).toThrow(FramingError);
});

test("bytes that are not UTF-8 are refused", () => {
  expect(() => [...new LineSplitter(10).push(Buffer.from([0xc3, 0x28, 0x0a]))]).toThrow(
    FramingError,
  );
});
