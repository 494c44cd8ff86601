/**
 * Runs tasks, a few at a time. The first failure cancels the others and is
 * thrown by whatever waits next.
 */
export class Lanes {
  readonly #width: number;
  readonly #failed = new AbortController();
  readonly #running = new Set<Promise<void>>();
  /** Aborted when the caller cancels or a task has failed. */
  readonly signal: AbortSignal;

  constructor(width: number, outer: AbortSignal | undefined) {
    this.#width = width;
    this.signal = outer ? AbortSignal.any([outer, this.#failed.signal]) : this.#failed.signal;
  }

  /** Resolves when the task runs: there is room for it. */
  async run(task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#width) await Promise.race(this.#running);
    this.#failed.signal.throwIfAborted();
    const running = task()
      .catch((error: unknown) => this.#failed.abort(error))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when every task has ended. */
  async drain(): Promise<void> {
    await Promise.all(this.#running);
    this.#failed.signal.throwIfAborted();
  }

  /** Cancels what runs and waits for its end. */
  async cancel(): Promise<void> {
    if (!this.#failed.signal.aborted) this.#failed.abort(new Error("another part failed"));
    await Promise.all(this.#running);
  }
}
