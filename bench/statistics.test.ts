import { describe, expect, it } from "vitest";
import { summarise, trendOf } from "./statistics.ts";

describe("summarise", () => {
  it("gives median and quartiles, whatever the order", () => {
    const values = [5, 1, 4, 2, 3];
    const summary = summarise(values);
    expect(summary).toEqual({ count: 5, median: 3, low: 2, high: 4, min: 1, max: 5, values });
  });

  it("puts the median of an even count between the middle two", () => {
    expect(summarise([1, 2, 4, 100]).median).toBe(3);
  });

  it("does not change its samples", () => {
    const samples = [3, 1, 2];
    summarise(samples);
    expect(samples).toEqual([3, 1, 2]);
  });

  it("refuses none at all", () => {
    expect(() => summarise([])).toThrow(RangeError);
  });
});

describe("trendOf", () => {
  it("finds the slope of a line, without error", () => {
    const { slope, error } = trendOf([
      [0, 10],
      [4, 12],
      [8, 14],
    ]);
    expect(slope).toBeCloseTo(0.5);
    expect(error).toBeCloseTo(0);
  });

  it("tells noise from growth by the error", () => {
    const { slope, error } = trendOf([
      [0, 10],
      [1, 13],
      [2, 9],
      [3, 12],
      [4, 10],
    ]);
    expect(Math.abs(slope)).toBeLessThan(error);
  });

  it("refuses points that have no trend", () => {
    expect(() => trendOf([[0, 1]])).toThrow(RangeError);
    expect(() =>
      trendOf([
        [1, 1],
        [1, 2],
        [1, 3],
      ]),
    ).toThrow(RangeError);
  });
});
