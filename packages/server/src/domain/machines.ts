import type { Creation } from "./creation.js";
import type { Ending } from "./ending.js";
import { machineElsewhere, machineNotFound, machineNotRunning } from "./faults.js";
import type { MachineFeed } from "./feed.js";
import type { Lifecycle } from "./lifecycle.js";
import type { Machine, TimeoutAction } from "./machine.js";
import { checkTimeout, checkTimeoutAction, type MachineRequest } from "./machine-request.js";
import type { MachineQuery, MachineStore, Page } from "./machine-store.js";

/** What {@link Machines} needs. */
export interface MachinesOptions {
  readonly hostId: string;
  readonly store: MachineStore;
  readonly lifecycle: Lifecycle;
  readonly creation: Creation;
  readonly ending: Ending;
  readonly feed: MachineFeed;
}

/** One step of a watch: a machine as it is now, or the end of the first look. */
export type WatchStep = { readonly machine: Machine } | { readonly synced: true };

/** What users do with machines. */
export class Machines {
  readonly #options: MachinesOptions;

  constructor(options: MachinesOptions) {
    this.#options = options;
  }

  /** See {@link Creation.create}. */
  async create(request: MachineRequest, signal: AbortSignal): Promise<Machine> {
    return this.#options.creation.create(request, signal);
  }

  /** @throws Fault MACHINE_NOT_FOUND. */
  async get(id: string): Promise<Machine> {
    const machine = await this.#options.store.find(id);
    if (machine === undefined) throw machineNotFound(id);
    return machine;
  }

  /**
   * A machine that can be talked to now.
   *
   * @throws Fault MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING, MACHINE_DIED, AGENT_UNREACHABLE.
   */
  async getRunning(id: string): Promise<Machine> {
    const machine = await this.get(id);
    if (machine.state !== "running") throw machineNotRunning(machine);
    if (machine.hostId !== this.#options.hostId) throw machineElsewhere(machine);
    return machine;
  }

  /** @throws Fault INVALID_ARGUMENT for a bad cursor. */
  async list(query: MachineQuery): Promise<Page<Machine>> {
    return this.#options.store.list(query);
  }

  /**
   * Yields every live machine once, then each change as it happens. A slow
   * reader gets each machine's latest state.
   */
  async *watch(signal: AbortSignal): AsyncGenerator<WatchStep, void, undefined> {
    using changes = this.#options.feed.subscribe();
    /** What the first look showed: changes that came before it are old news. */
    const shown = new Map<string, number>();
    for (const machine of await this.#options.store.listLive(undefined)) {
      shown.set(machine.id, machine.revision);
      yield { machine };
    }
    yield { synced: true };
    for (;;) {
      const machine = await changes.next(signal);
      const revision = shown.get(machine.id);
      shown.delete(machine.id);
      if (revision === undefined || machine.revision > revision) yield { machine };
    }
  }

  /** See {@link Ending.kill}. */
  async kill(id: string, signal: AbortSignal): Promise<Machine> {
    return this.#options.ending.kill(id, { cause: "request", signal });
  }

  /**
   * Sets a new deadline, counted from now.
   *
   * @param seconds 0 removes the deadline.
   * @param onTimeout Kept as it is when `undefined`.
   * @throws Fault INVALID_ARGUMENT, MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING, MACHINE_DIED.
   */
  async setTimeout(
    id: string,
    seconds: number,
    onTimeout: TimeoutAction | undefined,
  ): Promise<Machine> {
    const { store, lifecycle } = this.#options;
    checkTimeout("seconds", seconds);
    checkTimeoutAction(onTimeout);
    const timeoutAt = seconds === 0 ? undefined : new Date(Date.now() + seconds * 1000);
    const changed = await store.setDeadline(id, timeoutAt, onTimeout);
    if (changed === undefined) throw machineNotRunning(await this.get(id));
    lifecycle.announce(changed, "timeout set");
    return changed;
  }
}
