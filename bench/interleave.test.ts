import { describe, expect, it } from "vitest";
import { interleave, side } from "./interleave.ts";

describe("interleave", () => {
  it("takes its sides in turn and throws the warm-up away", async () => {
    const order: string[] = [];
    const counted = (name: string) => {
      let count = 0;
      return side(async () => {
        order.push(name);
        return [count++];
      });
    };
    const [a, b] = [counted("a"), counted("b")];
    await interleave([a, b], { rounds: 2, warmUps: 1, signal: new AbortController().signal });
    expect(order).toEqual(["a", "b", "a", "b", "a", "b"]);
    expect([a.samples, b.samples]).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });

  it("ends between two samples when it is stopped", async () => {
    const stop = new AbortController();
    const one = side(async () => {
      stop.abort(new Error("enough"));
      return [1];
    });
    const other = side(async () => [2]);
    const rounds = { rounds: 5, warmUps: 0, signal: stop.signal };
    await expect(interleave([one, other], rounds)).rejects.toThrow("enough");
    expect(other.samples).toEqual([]);
  });
});
