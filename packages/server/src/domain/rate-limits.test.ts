import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RateLimits } from "./rate-limits.js";

/** 0 for a call that may be made, else the milliseconds until the next one may. */
function waitOf(rates: RateLimits, project: string, limits: object): number {
  try {
    rates.admit(project, limits);
    return 0;
  } catch (error) {
    if (!(error instanceof Fault) || error.reason !== ErrorReason.RATE_LIMITED) throw error;
    return error.retryAfterMs;
  }
}

describe("rate limits", () => {
  test("a burst, then as many as the rate, and the time until the next one", () => {
    let now = 0;
    const rates = new RateLimits(() => now);
    const limits = { requestsPerSecond: 4, requestBurst: 3 };
    const wait = () => waitOf(rates, "a", limits);
    expect([wait(), wait(), wait(), wait()]).toEqual([0, 0, 0, 250]);
    now += 125;
    expect(wait()).toBe(125);
    now += 125;
    expect([wait(), wait()]).toEqual([0, 250]);
    now += 60_000;
    expect([wait(), wait(), wait(), wait()]).toEqual([0, 0, 0, 250]);
    // Another project has a bucket of its own.
    expect(waitOf(rates, "b", limits)).toBe(0);
  });

  test("without a burst of its own a project has that of two seconds; without a rate no limit", () => {
    const rates = new RateLimits(() => 0);
    const waits = Array.from({ length: 5 }, () => waitOf(rates, "a", { requestsPerSecond: 2 }));
    expect(waits).toEqual([0, 0, 0, 0, 500]);
    for (let call = 0; call < 100; call++) expect(waitOf(rates, "a", {})).toBe(0);
  });

  test("whoever waits as long as it is told gets in, and never more than rate and burst do", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.nat(400), { maxLength: 100 }),
        (requestsPerSecond, requestBurst, gaps) => {
          let now = 0;
          let admitted = 0;
          const rates = new RateLimits(() => now);
          const wait = () => waitOf(rates, "a", { requestsPerSecond, requestBurst });
          for (const gap of gaps) {
            now += gap;
            const told = wait();
            now += told;
            expect(told > 0 ? wait() : 0).toBe(0);
            admitted++;
            const most = requestBurst + (now / 1000) * requestsPerSecond;
            expect(admitted).toBeLessThanOrEqual(most + 1e-6);
          }
        },
      ),
      { examples: [[40, 1, [0, 2]]] },
    );
  });
});
