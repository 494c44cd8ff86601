import type { HostSnapshot } from "@nullspace/proto/host";
import type { Captures } from "./captures.js";
import type { Ending } from "./ending.js";
import type { Forking } from "./forking.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import type { Log } from "./log.js";
import { hasEnded, type Machine } from "./machine.js";
import type { MachineStore } from "./machine-store.js";
import type { Snapshot, SnapshotStore } from "./snapshot.js";
import type { SnapshotRemoval } from "./snapshot-removal.js";

/** Snapshots of templates, which the host looks after itself, begin so. */
const TEMPLATE_PREFIX = "t-";

/** What {@link SnapshotReconciler} needs. */
export interface SnapshotReconcilerOptions {
  readonly hostId: string;
  readonly host: HostClient;
  readonly store: SnapshotStore;
  readonly machineStore: MachineStore;
  readonly captures: Captures;
  readonly forking: Forking;
  readonly removal: SnapshotRemoval;
  readonly ending: Ending;
  /** Told when an event may have been written. */
  readonly onEvent: () => void;
  readonly log: Log;
}

/** Compares the snapshots that the host has with the records, and mends what differs. */
export class SnapshotReconciler {
  readonly #options: SnapshotReconcilerOptions;

  constructor(options: SnapshotReconcilerOptions) {
    this.#options = options;
  }

  /** Looks once at everything and mends it. Machines have been mended before. */
  async reconcile(signal: AbortSignal): Promise<void> {
    const { host, store, hostId, forking, captures } = this.#options;
    const lookedAt = new Date();
    const { snapshots: held } = await host.listSnapshots(
      {},
      { signal, timeoutMs: HOST_DEADLINES_MS.listSnapshots },
    );
    // After the host: what the host has, had its record or its fork before.
    const rows = await store.listOfHost(hostId);
    const heldById = new Map(held.map((snapshot) => [snapshot.snapshotId, snapshot]));
    const known = new Set(rows.map(({ id }) => id));
    const repairs = [
      ...rows
        .filter(({ createdAt }) => createdAt < lookedAt)
        // Being captured, by this process if its machine is: else nobody goes on with it.
        .filter(({ state, machineId }) => state !== "creating" || !captures.has(machineId))
        .map((row) => [row.id, this.#mend(row, heldById.get(row.id), signal)] as const),
      ...held
        .map(({ snapshotId }) => snapshotId)
        .filter((id) => !known.has(id) && !forking.owns(id) && !id.startsWith(TEMPLATE_PREFIX))
        .map((id) => [id, this.#reap(id, signal)] as const),
    ];
    await Promise.all(repairs.map(async ([id, repair]) => this.#settle(id, repair)));
  }

  async #mend(row: Snapshot, held: HostSnapshot | undefined, signal: AbortSignal): Promise<void> {
    const { machineStore, removal, captures } = this.#options;
    if (row.state === "deleting") return removal.remove(row.id, "reconciler", signal);
    if (row.kind === "pause") {
      return this.#mendPause(row, held, await machineStore.find(row.machineId), signal);
    }
    if (row.state === "ready") {
      if (held === undefined) await this.#lose(row, signal);
      return;
    }
    await captures.run(row.machineId, async () => this.#finish(row, held), signal);
  }

  /** Completes a capture that the host had finished, or removes what there is of one. */
  async #finish(row: Snapshot, held: HostSnapshot | undefined): Promise<void> {
    const { store, removal, onEvent } = this.#options;
    // It may have been finished between our look and now.
    if ((await store.find(row.id))?.state !== "creating") return;
    if (held === undefined) return removal.remove(row.id, "reconciler");
    const capture = { sizeBytes: Number(held.sizeBytes), stoppedMs: 0, diskMb: held.diskMb };
    await store.complete(row.id, capture, new Date(), { cause: "reconciler" });
    onEvent();
  }

  /** The snapshot of a pause belongs to its machine, and ends with it. */
  async #mendPause(
    row: Snapshot,
    held: HostSnapshot | undefined,
    machine: Machine | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { removal, ending } = this.#options;
    if (machine?.pausedSnapshotId !== row.id) return removal.remove(row.id, "reconciler", signal);
    // Nobody needs it when another machine goes on from it: that one has the bytes.
    const wanted = machine.state === "paused" && machine.resumedAs === "";
    if (wanted && held === undefined) await ending.lose(machine.id);
    // In every state between, the machine's own transition ends it.
    else if (hasEnded(machine.state)) await removal.remove(row.id, "reconciler", signal);
  }

  async #lose(row: Snapshot, signal: AbortSignal): Promise<void> {
    const { removal, log } = this.#options;
    log.error({ snapshotId: row.id }, "a snapshot is gone from the host");
    await removal.remove(row.id, "lost by the host", signal);
  }

  async #reap(id: string, signal: AbortSignal): Promise<void> {
    this.#options.log.warn({ snapshotId: id }, "deleting a snapshot that no record tells of");
    await this.#options.removal.drop(id, signal);
  }

  async #settle(snapshotId: string, repair: Promise<void>): Promise<void> {
    try {
      await repair;
    } catch (err) {
      this.#options.log.error({ snapshotId, err }, "a snapshot could not be mended; trying again");
    }
  }
}
