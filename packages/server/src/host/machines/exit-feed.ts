import type { HostMachine } from "@nullspace/proto/host";

/** Tells everyone who watches of each machine that ended by itself. */
export class ExitFeed {
  readonly #watchers = new Set<(machine: HostMachine) => void>();

  publish(machine: HostMachine): void {
    for (const tell of this.#watchers) tell(machine);
  }

  /** Yields each exit from now on. A machine ends once, so at most one for each waits for the reader. */
  async *watch(signal: AbortSignal): AsyncGenerator<HostMachine, void, undefined> {
    const queue: HostMachine[] = [];
    let arrival = Promise.withResolvers<void>();
    const wake = () => arrival.resolve();
    const tell = (machine: HostMachine) => {
      queue.push(machine);
      wake();
    };
    this.#watchers.add(tell);
    signal.addEventListener("abort", wake);
    try {
      while (!signal.aborted) {
        arrival = Promise.withResolvers<void>();
        yield* queue.splice(0);
        if (queue.length === 0) await arrival.promise;
      }
    } finally {
      signal.removeEventListener("abort", wake);
      this.#watchers.delete(tell);
    }
  }
}
