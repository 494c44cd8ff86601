import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BOOT_CHANNEL_KEY, CHANNEL_KEY_BYTES, MarkerSplitter } from "./channel.js";

/** Feeds `stream` in pieces cut at `cuts` and collects what comes before and after the first marker. */
function feed(marker: Uint8Array, stream: Uint8Array, cuts: number[]) {
  const splitter = new MarkerSplitter(marker);
  const bounds = [0, ...cuts.map((cut) => cut % (stream.length + 1)), stream.length];
  bounds.sort((a, b) => a - b);
  const before: Uint8Array[] = [];
  const after: Uint8Array[] = [];
  let found = false;
  for (let i = 1; i < bounds.length; i++) {
    const piece = stream.subarray(bounds[i - 1], bounds[i]);
    if (found) {
      after.push(piece);
      continue;
    }
    const split = splitter.push(piece);
    before.push(Uint8Array.from(split.before));
    if (split.after !== undefined) {
      found = true;
      after.push(Uint8Array.from(split.after));
    }
  }
  return { found, before: Buffer.concat(before), after: Buffer.concat(after) };
}

const key = fc.uint8Array({ minLength: 4, maxLength: 32 });
const cuts = fc.array(fc.nat(), { maxLength: 12 });

describe("MarkerSplitter", () => {
  test("finds the marker wherever the stream is torn", () => {
    fc.assert(
      fc.property(key, fc.uint8Array(), fc.uint8Array(), cuts, (marker, before, after, at) => {
        const stream = Buffer.concat([before, marker, after]);
        fc.pre(stream.indexOf(marker) === before.length);
        const result = feed(marker, stream, at);
        expect(result.found).toBe(true);
        expect(result.before.equals(before)).toBe(true);
        expect(result.after.equals(after)).toBe(true);
      }),
    );
  });

  test("passes on everything that cannot be a marker, and only that", () => {
    fc.assert(
      fc.property(key, fc.uint8Array(), cuts, (marker, stream, at) => {
        fc.pre(Buffer.from(stream).indexOf(marker) < 0);
        const { found, before } = feed(marker, stream, at);
        expect(found).toBe(false);
        const held = stream.subarray(before.length);
        expect(Buffer.from(stream.subarray(0, before.length)).equals(before)).toBe(true);
        expect(Buffer.from(marker.subarray(0, held.length)).equals(held)).toBe(true);
      }),
    );
  });

  test("a marker of repeated bytes after a near miss is found", () => {
    const marker = Buffer.from("aaab");
    const result = feed(marker, Buffer.from("aaaaabrest"), [1, 2, 3, 4, 5]);
    expect(result).toEqual({ found: true, before: Buffer.from("aa"), after: Buffer.from("rest") });
  });

  test("finds a second marker in what follows the first", () => {
    const splitter = new MarkerSplitter(Buffer.from("key!"));
    const first = splitter.push(Buffer.from("xkey!ykey!z"));
    const second = splitter.push(first.after ?? Buffer.alloc(0));
    expect(second.before.toString()).toBe("y");
    expect(second.after?.toString()).toBe("z");
  });
});

test("the boot key has the length of a key", () => {
  expect(BOOT_CHANNEL_KEY).toHaveLength(CHANNEL_KEY_BYTES);
});
