/** Measures the phases of one operation, in milliseconds, for its log line. */
export class Timings {
  readonly #phases: Record<string, number> = {};
  #last = performance.now();

  /** Ends the phase that began with the former one's end. */
  mark(phase: string): void {
    const now = performance.now();
    this.#phases[phase] = Math.round((now - this.#last) * 10) / 10;
    this.#last = now;
  }

  /** Milliseconds of each phase so far. */
  get phases(): Readonly<Record<string, number>> {
    return this.#phases;
  }
}
