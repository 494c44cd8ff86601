import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cuts, tear } from "../testing/torn.js";
import { TornSequence } from "./torn-sequence.js";

function tornIn(...pieces: string[]): string {
  const torn = new TornSequence();
  for (const piece of pieces) torn.push(Buffer.from(piece, "latin1"));
  return torn.bytes.toString("latin1");
}

describe("what is not complete", () => {
  test.each([
    ["text", ""],
    ["\x1b", "\x1b"],
    ["\x1b[", "\x1b["],
    ["\x1b[3", "\x1b[3"],
    ["\x1b[31m", ""],
    ["\x1b[31mred\x1b[", "\x1b["],
    ["\x1b(", "\x1b("],
    ["\x1b(B", ""],
    ["\x1bM", ""],
    ["\x1b]2;tit", "\x1b]2;tit"],
    ["\x1b]2;title\x07", ""],
    ["\x1b]2;title\x1b", "\x1b"],
    ["\x1b]2;title\x1b\\", ""],
    ["\x1bP1$r0m", "\x1bP1$r0m"],
    ["\x1bP1$r\x07", "\x1bP1$r\x07"],
    ["\x1b[3\x18", ""],
    ["\x1b[3\n1", "\x1b[31"],
    ["\x1b[\x1b[2", "\x1b[2"],
    ["\xe2\x82", "\xe2\x82"],
    ["\xe2\x82\xac", ""],
    ["\xf0\x9f\x98", "\xf0\x9f\x98"],
    ["\xe2x", ""],
    ["\xe2\x1b[", "\x1b["],
    ["\xff\xfe", ""],
    ["\xc2\x9b3", "\xc2\x9b3"],
  ])("of %j is %j", (stream, expected) => {
    expect(tornIn(stream)).toBe(expected);
  });

  test("is the same wherever the stream was cut before", () => {
    const alphabet = fc.constantFrom(
      ...Array.from("\x1b[]P_()01;m?hH\x07\\\n\x18a\xe2\x82\xac\xc2\x9b"),
    );
    fc.assert(
      fc.property(fc.string({ unit: alphabet, maxLength: 60 }), cuts, (stream, at) => {
        const pieces = tear(Buffer.from(stream, "latin1"), at).map((piece) =>
          piece.toString("latin1"),
        );
        expect(tornIn(...pieces)).toBe(tornIn(stream));
      }),
    );
  });

  test("is bounded, however long a string goes on", () => {
    const torn = new TornSequence();
    torn.push(Buffer.from("\x1b]52;c;"));
    for (let i = 0; i < 100; i++) torn.push(Buffer.alloc(10_000, "A"));
    expect(torn.bytes.length).toBe(4096);
    torn.push(Buffer.from("\x07"));
    expect(torn.bytes.length).toBe(0);
  });
});
