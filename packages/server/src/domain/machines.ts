import type { Activity } from "./activity.js";
import type { Creation } from "./creation.js";
import type { EgressPolicy } from "@nullspace/proto";
import type { Egress } from "./egress.js";
import type { Ending } from "./ending.js";
import { machineElsewhere, machineNotFound, machineNotRunning } from "./faults.js";
import type { MachineFeed } from "./feed.js";
import type { Lifecycle } from "./lifecycle.js";
import type { Machine } from "./machine.js";
import {
  checkTimeout,
  checkTimeouts,
  type MachineRequest,
  type TimeoutRequest,
} from "./machine-request.js";
import type { MachineQuery, MachineStore, Page, TimeoutChanges } from "./machine-store.js";
import { deadlineAfter } from "./maker.js";
import type { Paused, Pausing } from "./pausing.js";
import type { Connected, Resuming } from "./resuming.js";
import type { SnapshotStore } from "./snapshot.js";
import type { ForkOutcome, Forking, ForkRequest } from "./forking.js";

/** What {@link Machines} needs. */
export interface MachinesOptions {
  readonly hostId: string;
  readonly store: MachineStore;
  readonly snapshotStore: SnapshotStore;
  readonly lifecycle: Lifecycle;
  readonly creation: Creation;
  readonly ending: Ending;
  readonly feed: MachineFeed;
  readonly pausing: Pausing;
  readonly resuming: Resuming;
  readonly forking: Forking;
  readonly egress: Egress;
  readonly activity: Activity;
}

/** One step of a watch: a machine as it is now, or the end of the first look. */
export type WatchStep = { readonly machine: Machine } | { readonly synced: true };

/** What is done with machines, whosever they are: {@link ProjectMachines} keeps projects apart. */
export class Machines {
  readonly #options: MachinesOptions;

  constructor(options: MachinesOptions) {
    this.#options = options;
  }

  /** See {@link Creation.create}. */
  async create(request: MachineRequest, signal: AbortSignal): Promise<Machine> {
    return this.#options.creation.create(request, signal);
  }

  /**
   * A machine of whatever project.
   *
   * @throws Fault MACHINE_NOT_FOUND.
   */
  async get(id: string): Promise<Machine> {
    const machine = await this.#options.store.find(id);
    if (machine === undefined) throw machineNotFound(id);
    return machine;
  }

  /**
   * A machine of whatever project that can be talked to now: for whom a signature lets in.
   *
   * @throws Fault MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING, MACHINE_DIED, AGENT_UNREACHABLE.
   */
  async getRunning(id: string): Promise<Machine> {
    return this.requireRunning(await this.get(id));
  }

  /** @throws Fault MACHINE_NOT_RUNNING, MACHINE_DIED, AGENT_UNREACHABLE. */
  requireRunning(machine: Machine): Machine {
    if (machine.state !== "running") throw machineNotRunning(machine);
    if (machine.hostId !== this.#options.hostId) throw machineElsewhere(machine);
    return machine;
  }

  /** Whether a snapshot is a project's, or was: that of a paused machine that has been resumed. */
  async isSnapshotOf(projectId: string, snapshotId: string): Promise<boolean> {
    const { store, snapshotStore } = this.#options;
    if (snapshotId === "") return false;
    if ((await snapshotStore.findIn(projectId, snapshotId)) !== undefined) return true;
    return (await store.findByPausedSnapshot(snapshotId))?.projectId === projectId;
  }

  /** @throws Fault INVALID_ARGUMENT for a bad cursor. */
  async list(query: MachineQuery): Promise<Page<Machine>> {
    return this.#options.store.list(query);
  }

  /**
   * Yields every live machine of a project once, then each change as it happens. A slow
   * reader gets each machine's latest state.
   */
  async *watch(projectId: string, signal: AbortSignal): AsyncGenerator<WatchStep, void, undefined> {
    using changes = this.#options.feed.subscribe(projectId);
    /** What the first look showed: changes that came before it are old news. */
    const shown = new Map<string, number>();
    for (const machine of await this.#options.store.listLiveIn(projectId)) {
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

  /** See {@link Resuming.connect}. */
  async connect(
    id: string,
    timeoutSeconds: number | undefined,
    signal: AbortSignal,
  ): Promise<Connected> {
    const connected = await this.#options.resuming.connect(id, timeoutSeconds, signal);
    this.#options.activity.touch(connected.machine.id);
    return connected;
  }

  /** See {@link Pausing.pause}. */
  async pause(id: string, signal: AbortSignal): Promise<Paused> {
    return this.#options.pausing.pause(id, "request", signal);
  }

  /** See {@link Resuming.resume}. */
  async resume(
    snapshotId: string,
    timeoutSeconds: number | undefined,
    signal: AbortSignal,
  ): Promise<Connected> {
    return this.#options.resuming.resume(snapshotId, timeoutSeconds, signal);
  }

  /** See {@link Forking.fork}. */
  async fork(request: ForkRequest, signal: AbortSignal): Promise<readonly ForkOutcome[]> {
    return this.#options.forking.fork(request, signal);
  }

  /** See {@link Egress.update}. */
  async updateEgress(id: string, policy: EgressPolicy): Promise<Machine> {
    return this.#options.egress.update(id, policy);
  }

  /** When a call or stream last reached a machine, as far as this server knows. */
  lastUsedAt(id: string): Date | undefined {
    return this.#options.activity.lastUsedAt(id);
  }

  /**
   * Sets new timeouts of a running or paused machine. Those of a paused one hold
   * for the machine that will go on from it.
   *
   * @param seconds Counted from now, or from its resume; 0 for no deadline.
   * @param timeouts What else changes; kept as it is when `undefined`.
   * @throws Fault INVALID_ARGUMENT, MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING, MACHINE_DIED.
   */
  async setTimeout(
    id: string,
    seconds: number,
    timeouts: Omit<TimeoutRequest, "autoResume"> = {},
  ): Promise<Machine> {
    const { store, lifecycle } = this.#options;
    checkTimeout("seconds", seconds);
    checkTimeouts(timeouts);
    for (;;) {
      const machine = await this.get(id);
      const { state } = machine;
      if (state !== "running" && state !== "paused") throw machineNotRunning(machine);
      const now = new Date();
      const changes = timeoutChanges(machine, seconds, timeouts, now);
      const changed = await store.setTimeouts(id, state, changes, now);
      // Undefined when it has just left the state that the changes are for.
      if (changed === undefined) continue;
      lifecycle.announce(changed, "timeout set");
      return changed;
    }
  }
}

function timeoutChanges(
  { state, stateSince }: Machine,
  seconds: number,
  timeouts: TimeoutRequest,
  now: Date,
): TimeoutChanges {
  const { onTimeout, idleSeconds, deletePausedAfterSeconds } = timeouts;
  const paused = state === "paused";
  return {
    timeoutSeconds: seconds,
    ...(!paused && { timeoutAt: deadlineAfter(seconds, now) }),
    ...(onTimeout !== undefined && { onTimeout }),
    // What is killed at its timeout is never paused for its previews to resume.
    ...(onTimeout === "kill" && { autoResume: false }),
    ...(idleSeconds !== undefined && { idleSeconds }),
    ...(deletePausedAfterSeconds !== undefined && {
      deletePausedAfterSeconds,
      ...(paused && { deleteAt: deadlineAfter(deletePausedAfterSeconds, stateSince) }),
    }),
  };
}
