import { type HostMachine, HostMachineState } from "@nullspace/proto/host";
import type { Egress } from "./egress.js";
import type { Ending } from "./ending.js";
import { describeDeath } from "./failure.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import type { Log } from "./log.js";
import { hasEnded, type Machine } from "./machine.js";
import type { MachineStore } from "./machine-store.js";
import type { Pausing } from "./pausing.js";
import type { Resuming } from "./resuming.js";
import type { SnapshotReconciler } from "./snapshot-reconciler.js";
import type { Starts } from "./starts.js";

/** What {@link Reconciler} needs. */
export interface ReconcilerOptions {
  readonly hostId: string;
  readonly host: HostClient;
  readonly store: MachineStore;
  readonly starts: Starts;
  readonly ending: Ending;
  readonly pausing: Pausing;
  readonly resuming: Resuming;
  readonly egress: Egress;
  readonly snapshots: SnapshotReconciler;
  readonly log: Log;
}

/**
 * Compares what the host holds with what users asked for, and mends what
 * differs. Every step is idempotent, so being cut off anywhere costs nothing.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /**
   * Looks once at everything and mends it. One machine that cannot be mended
   * does not hold up the others: it is logged and met again the next time.
   */
  async reconcile(signal: AbortSignal): Promise<void> {
    const { host, store, hostId } = this.#options;
    const lookedAt = new Date();
    const { machines: held } = await host.listMachines(
      {},
      { signal, timeoutMs: HOST_DEADLINES_MS.listMachines },
    );
    // After the host: a machine that the host holds has had its record before.
    const rows = await store.listLive(hostId);

    const heldById = new Map(held.map((machine) => [machine.machineId, machine]));
    const live = new Set(rows.map((row) => row.id));
    const repairs = [
      ...rows.map(
        (row) => [row.id, this.#mend(row, heldById.get(row.id), lookedAt, signal)] as const,
      ),
      ...held
        .filter(({ machineId }) => !live.has(machineId))
        .map(({ machineId }) => [machineId, this.#reap(machineId, signal)] as const),
    ];
    await Promise.all(repairs.map(([id, repair]) => this.#settle(id, repair)));
    await this.#options.snapshots.reconcile(signal);
  }

  /** Marks machines failed as soon as the host tells that they died. Ends only by its signal, or by throwing. */
  async followExits(signal: AbortSignal): Promise<void> {
    const { host, ending, pausing } = this.#options;
    for await (const { machine } of host.watchExits({}, { signal })) {
      // Of one that is being paused the capture tells what became of it.
      if (machine === undefined || pausing.isPausing(machine.machineId)) continue;
      const failure = describeDeath(machine.consoleTail);
      await this.#settle(machine.machineId, ending.fail(machine.machineId, "died", failure));
    }
  }

  async #mend(
    row: Machine,
    held: HostMachine | undefined,
    lookedAt: Date,
    signal: AbortSignal,
  ): Promise<void> {
    const { starts, ending, pausing, resuming, egress } = this.#options;
    // Young states are those of the moment: the host was asked before they began.
    const young = row.stateSince >= lookedAt;
    if (starts.has(row.id) || ending.isKilling(row.id) || young) return;
    switch (row.state) {
      case "pausing":
        return pausing.mend(row.id);
      case "resuming":
        return resuming.mend(row.id, "reconciler");
      case "paused":
        return this.#mendAlias(row);
      case "creating":
        return ending.fail(row.id, "reconciler", "interrupted: the server stopped in the middle", {
          releaseKey: true,
        });
      case "killing":
        await ending.kill(row.id, { cause: "reconciler", signal });
        return;
      case "running":
        if (held?.state === HostMachineState.RUNNING) return egress.mend(row, held);
        return ending.fail(row.id, "reconciler", describeDeath(held?.consoleTail ?? ""));
      case "killed":
      case "failed":
        return;
    }
  }

  /** An alias ends when the machine that went on from it has. */
  async #mendAlias(alias: Machine): Promise<void> {
    if (alias.resumedAs === "") return;
    const successor = await this.#options.store.find(alias.resumedAs);
    if (successor !== undefined && !hasEnded(successor.state)) return;
    await this.#options.ending.endAlias(alias);
  }

  async #reap(machineId: string, signal: AbortSignal): Promise<void> {
    this.#options.log.warn({ machineId }, "reaping a machine that nobody asked for");
    await this.#options.ending.release(machineId, signal);
  }

  async #settle(machineId: string, repair: Promise<void>): Promise<void> {
    try {
      await repair;
    } catch (err) {
      this.#options.log.error({ machineId, err }, "a machine could not be mended; trying again");
    }
  }
}
