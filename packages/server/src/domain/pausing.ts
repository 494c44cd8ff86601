import { CaptureOutcome, HostMachineState } from "@nullspace/proto/host";
import type { Captures } from "./captures.js";
import type { Ending } from "./ending.js";
import {
  captureFailure,
  describeDeath,
  describeError,
  isInconclusive,
  reasonOf,
} from "./failure.js";
import { machineNotRunning, snapshotNotFound } from "./faults.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import type { Lifecycle } from "./lifecycle.js";
import { localMachine } from "./local-machine.js";
import type { Log } from "./log.js";
import type { Machine } from "./machine.js";
import type { MachineStore } from "./machine-store.js";
import { deadlineAfter } from "./maker.js";
import { newSnapshotId } from "./random.js";
import { SharedTasks } from "./shared-tasks.js";
import type { Capture, NewSnapshot, Snapshot, SnapshotStore } from "./snapshot.js";
import type { SnapshotRemoval } from "./snapshot-removal.js";
import { Timings } from "./timings.js";

/** What {@link Pausing} needs. */
export interface PausingOptions {
  readonly hostId: string;
  readonly host: HostClient;
  readonly store: MachineStore;
  readonly snapshotStore: SnapshotStore;
  readonly lifecycle: Lifecycle;
  readonly captures: Captures;
  readonly removal: SnapshotRemoval;
  readonly ending: Ending;
  readonly log: Log;
}

/** A machine that is paused, and the snapshot that holds it. */
export interface Paused {
  readonly machine: Machine;
  readonly snapshot: Snapshot;
}

/** Pauses machines: saved and stopped, or running on as if nothing had been asked. */
export class Pausing implements AsyncDisposable {
  readonly #options: PausingOptions;
  /** A pause that was begun is finished even when nobody waits for it. */
  readonly #pauses = new SharedTasks<Paused>("finish");

  constructor(options: PausingOptions) {
    this.#options = options;
  }

  /** Whether this process is pausing this machine at the moment. */
  isPausing(id: string): boolean {
    return this.#pauses.has(id);
  }

  /**
   * Saves a machine and stops it. Pausing one that is paused answers its snapshot;
   * one whose pause was cut off is paused now. If it cannot be saved it goes on.
   *
   * @param cause For the event: "request", "timeout", "idle", "reconciler".
   * @param signal Ends the wait; the pause itself goes on.
   * @throws Fault MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING, MACHINE_DIED, CAPTURE_FAILED.
   */
  async pause(id: string, cause: string, signal?: AbortSignal): Promise<Paused> {
    return this.#pauses.run(id, (stop) => this.#pause(id, cause, stop), signal);
  }

  /** Goes on with a pause whose server is gone, to whichever end. */
  async mend(id: string): Promise<void> {
    if (this.isPausing(id)) return;
    try {
      await this.pause(id, "reconciler");
    } catch (error) {
      // A machine that could not be saved and goes on, or has failed, is mended as well.
      if ((await this.#get(id)).state === "pausing") throw error;
    }
  }

  /**
   * Ends a pause that takes too long: paused, running or failed, as the host tells.
   *
   * @param reason What is told to those who wait for it.
   */
  async giveUp(id: string, reason: Error, cause: string): Promise<void> {
    const { captures, store } = this.#options;
    await captures.cancel(id, reason);
    const machine = await store.find(id);
    if (machine?.state !== "pausing") return;
    await this.#settle(machine, reason, cause).catch((error: unknown) => {
      // A machine that runs on was what was wanted.
      if (reasonOf(error) === undefined) throw error;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pauses[Symbol.asyncDispose]();
  }

  async #pause(id: string, cause: string, stop: AbortSignal): Promise<Paused> {
    const { captures, lifecycle } = this.#options;
    const timings = new Timings();
    const found = await this.#get(id);
    if (found.state === "paused") return this.#paused(found);
    return captures.run(
      id,
      async (signal) => {
        timings.mark("waitMs");
        const machine = await this.#get(id);
        // Pausing already: by a process that is gone, so go on from there.
        if (machine.state === "pausing") return this.#capture(machine, cause, timings, signal);
        if (machine.state !== "running") throw machineNotRunning(machine);
        const snapshot = snapshotOf(machine);
        const changes = { pausedSnapshotId: snapshot.id, snapshot: { add: snapshot } };
        const pausing = await lifecycle.move(id, "pause", { cause }, changes);
        if (pausing === undefined) throw machineNotRunning(await this.#get(id));
        return this.#capture(pausing, cause, timings, signal);
      },
      stop,
    );
  }

  async #capture(
    machine: Machine,
    cause: string,
    timings: Timings,
    signal: AbortSignal,
  ): Promise<Paused> {
    const { id: machineId, pausedSnapshotId: snapshotId } = machine;
    let capture: Capture;
    try {
      const taken = await this.#options.host.captureMachine(
        { machineId, snapshotId, outcome: CaptureOutcome.STOP, durable: true },
        { signal, timeoutMs: HOST_DEADLINES_MS.captureMachine },
      );
      capture = { ...taken, sizeBytes: Number(taken.sizeBytes) };
    } catch (error) {
      // The host may be at it yet: asking now would tell nothing. The reconciler asks again.
      if (isInconclusive(error)) throw error;
      return this.#settle(machine, error, cause);
    }
    timings.mark("captureMs");
    return this.#suspend(machine, capture, cause, timings);
  }

  async #suspend(
    { id, pausedSnapshotId, deletePausedAfterSeconds }: Machine,
    { sizeBytes, stoppedMs, diskMb }: Capture,
    cause: string,
    timings: Timings,
  ): Promise<Paused> {
    const paused = await this.#options.lifecycle.move(
      id,
      "suspend",
      { cause, timings: { ...timings.phases, stoppedMs } },
      {
        timeoutAt: undefined,
        deleteAt: deadlineAfter(deletePausedAfterSeconds, new Date()),
        snapshot: { complete: pausedSnapshotId, capture: { sizeBytes, stoppedMs, diskMb } },
      },
    );
    if (paused === undefined) throw machineNotRunning(await this.#get(id));
    return this.#paused(paused);
  }

  /** After a capture that failed: what is there, the snapshot or the machine? */
  async #settle(machine: Machine, error: unknown, cause: string): Promise<Paused> {
    const { host, lifecycle, ending, removal, log } = this.#options;
    const { id, pausedSnapshotId } = machine;
    const { snapshots } = await host.listSnapshots(
      {},
      { timeoutMs: HOST_DEADLINES_MS.listSnapshots },
    );
    const kept = snapshots.find(({ snapshotId }) => snapshotId === pausedSnapshotId);
    if (kept !== undefined) {
      await ending.release(id);
      const capture = { sizeBytes: Number(kept.sizeBytes), stoppedMs: 0, diskMb: kept.diskMb };
      return this.#suspend(machine, capture, cause, new Timings());
    }
    const { machines } = await host.listMachines({}, { timeoutMs: HOST_DEADLINES_MS.listMachines });
    const held = machines.find(({ machineId }) => machineId === id);
    if (held?.state !== HostMachineState.RUNNING) {
      await ending.fail(id, cause, describeDeath(held?.consoleTail ?? ""));
      throw machineNotRunning(await this.#get(id));
    }
    const failure = describeError(error);
    const changes = { pausedSnapshotId: "", snapshot: { remove: pausedSnapshotId } };
    await lifecycle.move(id, "unpause", { cause, failure }, changes);
    try {
      await removal.drop(pausedSnapshotId);
    } catch (err) {
      log.warn({ err, snapshotId: pausedSnapshotId }, "left to the reconciler");
    }
    throw captureFailure(id, error);
  }

  async #get(id: string): Promise<Machine> {
    return localMachine(this.#options, id);
  }

  async #paused(machine: Machine): Promise<Paused> {
    const snapshot = await this.#options.snapshotStore.find(machine.pausedSnapshotId);
    if (snapshot === undefined) throw snapshotNotFound(machine.pausedSnapshotId);
    return { machine, snapshot };
  }
}

/** The record of the snapshot that a machine is about to be paused into. */
function snapshotOf(machine: Machine): NewSnapshot {
  return {
    ...lineageOf(machine),
    id: newSnapshotId(),
    kind: "pause",
    name: "",
    metadata: machine.metadata,
    createdAt: new Date(),
    idempotencyKey: undefined,
    requestHash: "",
  };
}

/** What a snapshot has of its machine. */
export function lineageOf(machine: Machine) {
  const { id, projectId, hostId, templateName, templateTag, vcpus, memoryMb, diskMb, cwd, egress } =
    machine;
  return {
    projectId,
    hostId,
    machineId: id,
    parentId: machine.sourceSnapshotId,
    templateName,
    templateTag,
    vcpus,
    memoryMb,
    diskMb,
    cwd,
    egress,
  };
}
