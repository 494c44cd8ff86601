import { abortable } from "./abort.js";

/** What becomes of a task that nobody waits for any more. */
export type WhenAbandoned = "abort" | "finish";

interface Running<T> {
  readonly result: Promise<T>;
  /** Fulfilled when the task has ended, however it ended. */
  readonly ended: Promise<void>;
  readonly controller: AbortController;
  waiting: number;
}

/**
 * Runs at most one task per name at a time: who asks for one that is already
 * running waits for that one. Each caller may give up by its own signal without
 * disturbing the others.
 *
 * @example
 * ```ts
 * const captures = new SharedTasks<string>("abort");
 * const snapshotId = await captures.run("base-2-512", (signal) => capture(signal), callerSignal);
 * ```
 */
export class SharedTasks<T> implements AsyncDisposable {
  readonly #running = new Map<string, Running<T>>();
  readonly #whenAbandoned: WhenAbandoned;

  /** @param whenAbandoned Whether the last caller to give up takes the task with it. */
  constructor(whenAbandoned: WhenAbandoned) {
    this.#whenAbandoned = whenAbandoned;
  }

  /** Whether a task of this name is running. */
  has(name: string): boolean {
    return this.#running.has(name);
  }

  /**
   * Joins the running task of this name, or starts one.
   *
   * @param start Begins the task; its signal tells it to stop.
   * @param signal The caller's own: ends the wait, and the task if it was the last to wait.
   * @throws What the task threw, or the signal's reason.
   */
  async run(
    name: string,
    start: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    for (;;) {
      signal?.throwIfAborted();
      const running = this.#running.get(name) ?? this.#start(name, start);
      if (!running.controller.signal.aborted) return this.#join(running, signal);
      await abortable(running.ended, signal);
    }
  }

  /** Tells every task to stop and waits until all have. */
  async [Symbol.asyncDispose](): Promise<void> {
    const running = [...this.#running.values()];
    for (const { controller } of running) controller.abort(new Error("the server is stopping"));
    await Promise.all(running.map(({ ended }) => ended));
  }

  #start(name: string, start: (signal: AbortSignal) => Promise<T>): Running<T> {
    const controller = new AbortController();
    const result = start(controller.signal);
    const forget = () => {
      this.#running.delete(name);
    };
    const ended = result.then(forget, forget);
    const running = { result, ended, controller, waiting: 0 };
    this.#running.set(name, running);
    return running;
  }

  async #join(running: Running<T>, signal: AbortSignal | undefined): Promise<T> {
    running.waiting++;
    try {
      return await abortable(running.result, signal);
    } finally {
      running.waiting--;
      if (running.waiting === 0 && this.#whenAbandoned === "abort") {
        running.controller.abort(signal?.reason);
      }
    }
  }
}
