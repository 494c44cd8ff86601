import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { ProjectLimits } from "./project.js";

/** How long a burst may be, in seconds of the usual rate, where a project does not say. */
const BURST_SECONDS = 2;

/** Whoever waits as long as it is told finds a token, although fractions of it do not add up exactly. */
const TOKEN = 1 - 1e-9;

interface Bucket {
  tokens: number;
  /** When it was as full as that, in milliseconds. */
  at: number;
}

/**
 * A token bucket for each project: it fills with the rate, and a call takes one token out. It
 * lives in this process; each server of several counts for itself.
 */
export class RateLimits {
  readonly #buckets = new Map<string, Bucket>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Counts a call.
   *
   * @throws Fault RATE_LIMITED when the project has made too many, with the time until the next one.
   */
  admit(projectId: string, { requestsPerSecond = 0, requestBurst = 0 }: ProjectLimits): void {
    if (requestsPerSecond === 0) {
      this.#buckets.delete(projectId);
      return;
    }
    const most = requestBurst || requestsPerSecond * BURST_SECONDS;
    const now = this.#now();
    const bucket = this.#buckets.get(projectId) ?? { tokens: most, at: now };
    const filled = bucket.tokens + ((now - bucket.at) / 1000) * requestsPerSecond;
    bucket.tokens = Math.min(most, filled);
    bucket.at = now;
    this.#buckets.set(projectId, bucket);
    if (bucket.tokens < TOKEN) {
      throw limited(requestsPerSecond, ((1 - bucket.tokens) / requestsPerSecond) * 1000);
    }
    bucket.tokens--;
  }
}

function limited(requestsPerSecond: number, retryAfterMs: number): Fault {
  return new Fault(
    ErrorReason.RATE_LIMITED,
    `the project may make ${requestsPerSecond} calls a second`,
    {
      remedy: "Make the call again after the time that the error says.",
      details: { requests_per_second: String(requestsPerSecond) },
      retryAfterMs,
    },
  );
}
