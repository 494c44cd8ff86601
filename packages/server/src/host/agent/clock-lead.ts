const MOST_MS = 2000;

/**
 * How far ahead of the host's clock a restored guest's is set, so that it is right
 * when the guest has read it: the way there takes longest at the very first call.
 * Learned from one start to the next.
 */
export class ClockLead {
  #ms = 0;

  get ms(): number {
    return Math.round(this.#ms);
  }

  /** Learns from how far off a guest's clock was, set with the present lead. */
  learn(skewMs: number): void {
    if (!Number.isFinite(skewMs)) return;
    this.#ms = Math.min(MOST_MS, Math.max(0, this.#ms - skewMs / 2));
  }
}
