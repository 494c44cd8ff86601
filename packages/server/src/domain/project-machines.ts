import type { EgressPolicy } from "@nullspace/proto";
import { machineNotFound, snapshotNotFound } from "./faults.js";
import type { ForkOutcome, ForkRequest } from "./forking.js";
import type { Machine } from "./machine.js";
import type { MachineRequest, TimeoutRequest } from "./machine-request.js";
import type { MachineQuery, MachineStore, Page } from "./machine-store.js";
import type { Machines, WatchStep } from "./machines.js";
import type { Paused } from "./pausing.js";
import type { Connected } from "./resuming.js";

/**
 * The machines of one project: what a caller can reach. A machine of another project is to them
 * like one that never was. The project of a machine never changes, so it is enough to look first.
 */
export class ProjectMachines {
  readonly #machines: Machines;
  readonly #store: MachineStore;
  readonly #projectId: string;

  constructor(machines: Machines, store: MachineStore, projectId: string) {
    this.#machines = machines;
    this.#store = store;
    this.#projectId = projectId;
  }

  /** See {@link Machines.create}. */
  async create(request: Owned<MachineRequest>, signal: AbortSignal): Promise<Machine> {
    return this.#machines.create({ ...request, projectId: this.#projectId }, signal);
  }

  /** @throws Fault MACHINE_NOT_FOUND. */
  async get(id: string): Promise<Machine> {
    const machine = await this.#store.findIn(this.#projectId, id);
    if (machine === undefined) throw machineNotFound(id);
    return machine;
  }

  /** See {@link Machines.getRunning}. */
  async getRunning(id: string): Promise<Machine> {
    return this.#machines.requireRunning(await this.get(id));
  }

  /** @throws Fault INVALID_ARGUMENT for a bad cursor. */
  async list(query: Owned<MachineQuery>): Promise<Page<Machine>> {
    return this.#machines.list({ ...query, projectId: this.#projectId });
  }

  /** See {@link Machines.watch}. */
  watch(signal: AbortSignal): AsyncGenerator<WatchStep, void, undefined> {
    return this.#machines.watch(this.#projectId, signal);
  }

  /** See {@link Machines.kill}. */
  async kill(id: string, signal: AbortSignal): Promise<Machine> {
    await this.get(id);
    return this.#machines.kill(id, signal);
  }

  /** See {@link Machines.connect}. */
  async connect(
    id: string,
    timeoutSeconds: number | undefined,
    signal: AbortSignal,
  ): Promise<Connected> {
    await this.get(id);
    return this.#machines.connect(id, timeoutSeconds, signal);
  }

  /** See {@link Machines.pause}. */
  async pause(id: string, signal: AbortSignal): Promise<Paused> {
    await this.get(id);
    return this.#machines.pause(id, signal);
  }

  /** See {@link Machines.resume}. */
  async resume(
    snapshotId: string,
    timeoutSeconds: number | undefined,
    signal: AbortSignal,
  ): Promise<Connected> {
    if (!(await this.#machines.isSnapshotOf(this.#projectId, snapshotId))) {
      throw snapshotNotFound(snapshotId);
    }
    return this.#machines.resume(snapshotId, timeoutSeconds, signal);
  }

  /** See {@link Machines.fork}. */
  async fork(request: Owned<ForkRequest>, signal: AbortSignal): Promise<readonly ForkOutcome[]> {
    await this.get(request.id);
    return this.#machines.fork({ ...request, projectId: this.#projectId }, signal);
  }

  /** See {@link Machines.lastUsedAt}. */
  lastUsedAt(id: string): Date | undefined {
    return this.#machines.lastUsedAt(id);
  }

  /** See {@link Machines.updateEgress}. */
  async updateEgress(id: string, policy: EgressPolicy): Promise<Machine> {
    await this.get(id);
    return this.#machines.updateEgress(id, policy);
  }

  /** See {@link Machines.setTimeout}. */
  async setTimeout(
    id: string,
    seconds: number,
    timeouts: Omit<TimeoutRequest, "autoResume">,
  ): Promise<Machine> {
    await this.get(id);
    return this.#machines.setTimeout(id, seconds, timeouts);
  }
}

/** A request that does not say yet whose it is. */
type Owned<T extends { readonly projectId: string }> = Omit<T, "projectId">;
