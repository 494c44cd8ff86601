import type { Captures } from "./captures.js";
import { isDiskFull } from "./failure.js";
import { killedMeanwhile, machineElsewhere, machineNotFound } from "./faults.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import type { Lifecycle } from "./lifecycle.js";
import type { Log } from "./log.js";
import type { Machine } from "./machine.js";
import type { MachineStore } from "./machine-store.js";
import { SharedTasks } from "./shared-tasks.js";
import type { SnapshotRemoval } from "./snapshot-removal.js";
import type { Starts } from "./starts.js";
import { Timings } from "./timings.js";

/** What {@link Ending} needs. */
export interface EndingOptions {
  readonly hostId: string;
  readonly host: HostClient;
  readonly store: MachineStore;
  readonly lifecycle: Lifecycle;
  readonly starts: Starts;
  readonly captures: Captures;
  readonly removal: SnapshotRemoval;
  readonly log: Log;
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
    const failed = await this.#options.lifecycle.move(id, "fail", { cause }, changes);
    if (failed === undefined) return;
    await this.release(id);
    await this.#dropPause(failed);
    await this.#endAliasOf(failed);
  }

  /** Marks a paused machine failed, whose snapshot is not there any more. */
  async lose(id: string): Promise<void> {
    const failure = "the snapshot that held its memory and disk is gone from the host";
    const changes = { failure, endedAt: new Date() };
    const lost = await this.#options.lifecycle.move(id, "lose", { cause: "reconciler" }, changes);
    if (lost === undefined) return;
    await this.#dropPause(lost);
    await this.#endAliasOf(lost);
  }

  /** Ends a paused machine when the one that went on from it has ended. */
  async endAlias(alias: Machine): Promise<void> {
    await this.kill(alias.id, { cause: "resumed machine ended" });
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
    const { lifecycle, hostId, store } = this.#options;
    const timings = new Timings();
    const found = await store.find(id);
    if (found === undefined) throw machineNotFound(id);
    if (found.state === "killed") return found;
    if (found.hostId !== hostId) throw machineElsewhere(found);

    // Undefined when it is killing already: by a process that is gone, so go on from there.
    const { cause, releaseKey = false } = options;
    const begin = () => lifecycle.move(id, "kill", { cause }, { releaseKey });
    let killing: Machine | undefined;
    try {
      killing = await begin();
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      // What the machine holds has to make the room for its record. Should that fail, or this
      // server end, the reconciler finds it gone.
      await this.#cancel(found);
      await this.release(id, stop);
      if (found.pausedSnapshotId !== "") await this.#options.removal.drop(found.pausedSnapshotId);
      killing = await begin();
    }
    await this.#cancel(found);
    timings.mark("cancelMs");
    await this.release(id, stop);
    await this.#dropPause(killing ?? found);
    timings.mark("stopMs");
    const note = { cause, timings: timings.phases };
    const killed = await lifecycle.move(id, "finish", note, { endedAt: new Date() });
    const ended = killed ?? (await store.find(id)) ?? found;
    await this.#endAliasOf(ended);
    return ended;
  }

  /** Ends what is being done with a machine, and waits until that has. */
  async #cancel({ id, state, resumedAs }: Machine): Promise<void> {
    const { starts, captures } = this.#options;
    const meanwhile = new Error("the machine was killed while it was being made");
    await starts.cancel(id, meanwhile);
    // What was to go on from this one, and does not run yet.
    if (state === "resuming") await starts.cancel(resumedAs, meanwhile);
    await captures.cancel(id, killedMeanwhile(id));
  }

  /** The snapshot of a pause ends with its machine, whether it was finished or not. */
  async #dropPause({ pausedSnapshotId }: Machine): Promise<void> {
    if (pausedSnapshotId !== "") await this.#options.removal.remove(pausedSnapshotId, "ended");
  }

  /** When a machine that was resumed ends, so does the alias that stood for it. */
  async #endAliasOf({ id, parentId }: Machine): Promise<void> {
    if (parentId === "") return;
    const { store, log } = this.#options;
    try {
      const parent = await store.find(parentId);
      if (parent?.state === "paused" && parent.resumedAs === id) await this.endAlias(parent);
    } catch (err) {
      log.warn({ machineId: parentId, err }, "a paused machine is left to the reconciler");
    }
  }
}
