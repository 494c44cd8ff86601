import { machineNotFound, snapshotNotFound } from "./faults.js";
import type { MachineStore, Page } from "./machine-store.js";
import type { Snapshot, SnapshotQuery, SnapshotStore } from "./snapshot.js";
import type { SnapshotRequest, Snapshots } from "./snapshots.js";

/** What {@link ProjectSnapshots} needs. */
export interface ProjectSnapshotsOptions {
  readonly snapshots: Snapshots;
  readonly store: SnapshotStore;
  readonly machineStore: MachineStore;
}

/** The snapshots of one project: one of another is to its callers like one that never was. */
export class ProjectSnapshots {
  readonly #options: ProjectSnapshotsOptions;
  readonly #projectId: string;

  constructor(options: ProjectSnapshotsOptions, projectId: string) {
    this.#options = options;
    this.#projectId = projectId;
  }

  /** See {@link Snapshots.create}. */
  async create(
    request: Omit<SnapshotRequest, "projectId">,
    signal: AbortSignal,
  ): Promise<Snapshot> {
    const { snapshots, machineStore } = this.#options;
    const projectId = this.#projectId;
    const machine = await machineStore.findIn(projectId, request.machineId);
    if (machine === undefined) throw machineNotFound(request.machineId);
    return snapshots.create({ ...request, projectId }, signal);
  }

  /** @throws Fault SNAPSHOT_NOT_FOUND. */
  async get(id: string): Promise<Snapshot> {
    const snapshot = await this.#options.store.findIn(this.#projectId, id);
    if (snapshot?.state !== "ready") throw snapshotNotFound(id);
    return snapshot;
  }

  /** @throws Fault INVALID_ARGUMENT for a bad cursor. */
  async list(query: Omit<SnapshotQuery, "projectId">): Promise<Page<Snapshot>> {
    return this.#options.snapshots.list({ ...query, projectId: this.#projectId });
  }

  /** See {@link Snapshots.delete}: one that this project does not have is gone already. */
  async delete(id: string, signal: AbortSignal): Promise<void> {
    const { snapshots, store } = this.#options;
    const snapshot = await store.findIn(this.#projectId, id);
    if (snapshot !== undefined) await snapshots.delete(id, signal);
  }
}
