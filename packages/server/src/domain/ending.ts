import { machineElsewhere, machineNotFound } from "./faults.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import type { Lifecycle } from "./lifecycle.js";
import type { Machine } from "./machine.js";
import type { MachineStore } from "./machine-store.js";
import { SharedTasks } from "./shared-tasks.js";
import type { Starts } from "./starts.js";
import { Timings } from "./timings.js";

/** What {@link Ending} needs. */
export interface EndingOptions {
  readonly hostId: string;
  readonly host: HostClient;
  readonly store: MachineStore;
  readonly lifecycle: Lifecycle;
  readonly starts: Starts;
}

/** How a kill came about. */
export interface KillOptions {
  /** For the log: "request", "timeout", "cancelled", ... */
  readonly cause: string;
  /** Ends the wait; the kill itself goes on. */
  readonly signal?: AbortSignal;
  /** Lets the next request with the machine's idempotency key make a new one. */
  readonly releaseKey?: boolean;
}

/** Ends machines: by a kill, or because they have failed. */
export class Ending implements AsyncDisposable {
  readonly #options: EndingOptions;
  /** A kill that was begun is finished even when nobody waits for it. */
  readonly #kills = new SharedTasks<Machine>("finish");

  constructor(options: EndingOptions) {
    this.#options = options;
  }

  /** Whether this process is killing this machine at the moment. */
  isKilling(id: string): boolean {
    return this.#kills.has(id);
  }

  /**
   * Destroys a machine and releases what it held. Killing one that is killed
   * already succeeds; one whose kill was cut off is killed again.
   *
   * @throws Fault MACHINE_NOT_FOUND.
   */
  async kill(id: string, options: KillOptions): Promise<Machine> {
    return this.#kills.run(id, (stop) => this.#kill(id, options, stop), options.signal);
  }

  /**
   * Marks a machine failed and releases what it held. Does nothing to a machine
   * that has ended already.
   *
   * @param failure What its record will say.
   */
  async fail(
    id: string,
    cause: string,
    failure: string,
    options: { readonly releaseKey?: boolean } = {},
  ): Promise<void> {
    const changes = { failure, endedAt: new Date(), releaseKey: options.releaseKey ?? false };
    const failed = await this.#options.lifecycle.move(id, "fail", cause, changes);
    if (failed !== undefined) await this.release(id);
  }

  /** Has the host drop everything it holds of a machine. */
  async release(id: string, signal?: AbortSignal): Promise<void> {
    const timeoutMs = HOST_DEADLINES_MS.stopMachine;
    await this.#options.host.stopMachine(
      { machineId: id },
      { timeoutMs, ...(signal && { signal }) },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kills[Symbol.asyncDispose]();
  }

  async #kill(id: string, options: KillOptions, stop: AbortSignal): Promise<Machine> {
    const { lifecycle, starts, hostId, store } = this.#options;
    const timings = new Timings();
    const found = await store.find(id);
    if (found === undefined) throw machineNotFound(id);
    if (found.state === "killed") return found;
    if (found.hostId !== hostId) throw machineElsewhere(found);

    // Undefined when it is killing already: by a process that is gone, so go on from there.
    await lifecycle.move(id, "kill", options.cause, { releaseKey: options.releaseKey ?? false });
    await starts.cancel(id, new Error("the machine was killed while it was being made"));
    timings.mark("cancelMs");
    await this.release(id, stop);
    timings.mark("stopMs");
    const changes = { endedAt: new Date() };
    const killed = await lifecycle.move(id, "finish", options.cause, changes, timings.phases);
    return killed ?? (await store.find(id)) ?? found;
  }
}
