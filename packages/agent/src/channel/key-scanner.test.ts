import * as fc from "fast-check";
import { expect, test } from "vitest";
import { cuts, tear } from "../testing/torn.js";
import { KeyScanner } from "./key-scanner.js";

const KEY = Buffer.from("0123456789abcdef0123456789ABCDEF");

/** What each session got: the bytes before the first key, then those after each. */
function scan(pieces: Buffer[]): Buffer[] {
  const scanner = new KeyScanner(KEY);
  const sessions = [Buffer.alloc(0)];
  for (const piece of pieces) {
    let rest: Buffer | undefined = piece;
    while (rest !== undefined) {
      const { before, after }: ReturnType<KeyScanner["push"]> = scanner.push(rest);
      sessions.push(Buffer.concat([sessions.pop() ?? Buffer.alloc(0), before]));
      if (after !== undefined) sessions.push(Buffer.alloc(0));
      rest = after;
    }
  }
  return sessions;
}

/** Bytes that are often a beginning of the key, or nearly one. */
const nearlyKey = fc
  .array(
    fc.oneof(
      fc.nat(KEY.length - 1).map((length) => KEY.subarray(0, length)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 4 },
  )
  .map((parts) => Buffer.concat(parts))
  .filter((bytes) => !bytes.includes(KEY));

test("finds every key, wherever the stream is torn", () => {
  fc.assert(
    fc.property(fc.array(nearlyKey, { minLength: 1, maxLength: 4 }), cuts, (sessions, at) => {
      const stream = Buffer.concat(
        sessions.flatMap((bytes, i) => (i === 0 ? [bytes] : [KEY, bytes])),
      );
      const found = scan(tear(stream, at));
      expect(found).toHaveLength(sessions.length);
      for (const [i, bytes] of sessions.entries()) {
        const got = found[i] ?? Buffer.alloc(0);
        const isLast = i === sessions.length - 1;
        // A session that is ending may have been given the first bytes of the key; the last one waits for its last.
        const [whole, part] = isLast ? [bytes, got] : [got, bytes];
        expect(whole.subarray(0, part.length)).toEqual(part);
        expect(Math.abs(got.length - bytes.length)).toBeLessThan(isLast ? KEY.length : 8);
      }
    }),
  );
});

test("a message that ends with the key's first bytes is passed on at once", () => {
  for (let length = 1; length < 8; length++) {
    const message = Buffer.concat([Buffer.from("message"), KEY.subarray(0, length)]);
    const scanner = new KeyScanner(KEY);
    expect(scanner.push(message)).toEqual({ before: message, after: undefined });
    expect(scanner.push(Buffer.from("next")).before.toString()).toBe("next");
  }
});

test("a long beginning of the key is held until it is known to be none", () => {
  const scanner = new KeyScanner(KEY);
  expect(scanner.push(KEY.subarray(0, 20)).before).toHaveLength(0);
  expect(scanner.push(Buffer.from("no")).before).toEqual(
    Buffer.concat([KEY.subarray(0, 20), Buffer.from("no")]),
  );
});

test("after a reset the rest of a torn key means nothing", () => {
  const scanner = new KeyScanner(KEY);
  scanner.push(KEY.subarray(0, 20));
  scanner.reset();
  expect(scanner.push(KEY.subarray(20))).toEqual({ before: KEY.subarray(20), after: undefined });
});
