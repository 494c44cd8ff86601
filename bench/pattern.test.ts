import { describe, expect, it } from "vitest";
import { Pattern } from "./pattern.ts";

describe("Pattern", () => {
  it("knows its own bytes, however they are cut", () => {
    const sent = new Pattern();
    const received = new Pattern();
    const bytes = Buffer.concat(Array.from({ length: 5 }, () => sent.next(700_000)));
    const receive = () => {
      for (let at = 0; at < bytes.length; at += 333_333) {
        received.expect(bytes.subarray(at, at + 333_333));
      }
    };
    expect(receive).not.toThrow();
  });

  it("refuses bytes that were changed, left out or repeated", () => {
    const bytes = Buffer.from(new Pattern().next(1000));
    bytes.writeUInt8(bytes.readUInt8(500) ^ 1, 500);
    expect(() => new Pattern().expect(bytes)).toThrow("other bytes");
    expect(() => new Pattern().expect(new Pattern().next(1000).subarray(1))).toThrow("other bytes");
  });
});
