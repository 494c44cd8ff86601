import { abortable } from "./abort.js";
import { Starts } from "./starts.js";

/**
 * Sees to it that a machine is captured once at a time: who comes while another
 * capture of it is in progress waits for its end.
 */
export class Captures {
  readonly #owners = new Starts();

  /** Whether this machine is being captured, or about to be. */
  has(machineId: string): boolean {
    return this.#owners.has(machineId);
  }

  /**
   * Runs a task that has the machine for itself. The task must look at the
   * machine's state itself: it may have changed while this waited.
   *
   * @param signal Aborts the task, as {@link cancel} does.
   */
  async run<T>(
    machineId: string,
    task: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    signal.throwIfAborted();
    for (
      let former = this.#owners.ended(machineId);
      former !== undefined;
      former = this.#owners.ended(machineId)
    ) {
      await abortable(former, signal);
    }
    using owner = this.#owners.begin(machineId, signal);
    try {
      return await task(owner.signal);
    } catch (error) {
      // Why it was cancelled says more than that it was.
      throw owner.signal.aborted ? owner.signal.reason : error;
    }
  }

  /** Tells the present task to stop and waits until it has. Nothing to do when there is none. */
  async cancel(machineId: string, reason: Error): Promise<void> {
    await this.#owners.cancel(machineId, reason);
  }
}
