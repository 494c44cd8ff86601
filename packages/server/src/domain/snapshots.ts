import { CaptureOutcome } from "@nullspace/proto/host";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Captures } from "./captures.js";
import type { Ending } from "./ending.js";
import { captureFailure } from "./failure.js";
import { idempotencyConflict, machineElsewhere, snapshotNotFound } from "./faults.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import { invalid, LIMITS } from "./limits.js";
import { localRunningMachine } from "./local-machine.js";
import type { Log } from "./log.js";
import { checkIdempotencyKey, checkMetadata, hashOf, sortedEntries } from "./machine-request.js";
import type { MachineStore, Page } from "./machine-store.js";
import { lineageOf } from "./pausing.js";
import type { Quotas } from "./quotas.js";
import { newSnapshotId } from "./random.js";
import { SharedTasks } from "./shared-tasks.js";
import type { NewSnapshot, Snapshot, SnapshotQuery, SnapshotStore } from "./snapshot.js";
import type { SnapshotRemoval } from "./snapshot-removal.js";
import { Timings } from "./timings.js";

/** What {@link Snapshots} needs. */
export interface SnapshotsOptions {
  readonly hostId: string;
  readonly host: HostClient;
  readonly store: SnapshotStore;
  readonly machineStore: MachineStore;
  readonly captures: Captures;
  readonly removal: SnapshotRemoval;
  readonly ending: Ending;
  readonly quotas: Quotas;
  /** Told when an event has been written. */
  readonly onEvent: () => void;
  readonly log: Log;
}

/** What the owner of a new snapshot asks for. */
export interface SnapshotRequest {
  readonly projectId: string;
  readonly machineId: string;
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly idempotencyKey: string;
}

/** What is done with snapshots, whosever they are: {@link ProjectSnapshots} keeps projects apart. */
export class Snapshots implements AsyncDisposable {
  readonly #options: SnapshotsOptions;
  readonly #creations = new SharedTasks<Snapshot>("abort");

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  /**
   * Saves a running machine, which goes on. Other captures of it are waited for.
   * Two requests with one idempotency key get the same snapshot.
   *
   * @throws Fault INVALID_ARGUMENT, MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING,
   * MACHINE_DIED, IDEMPOTENCY_CONFLICT, QUOTA_EXCEEDED, CAPTURE_FAILED.
   */
  async create(request: SnapshotRequest, signal: AbortSignal): Promise<Snapshot> {
    checkSnapshotRequest(request);
    const id = newSnapshotId();
    const { projectId, machineId, name, metadata, idempotencyKey } = request;
    const hash = hashOf([machineId, name, sortedEntries(metadata)]);
    const task = idempotencyKey === "" ? id : `${projectId} ${idempotencyKey} ${hash}`;
    return this.#creations.run(task, (stop) => this.#create(id, request, hash, stop), signal);
  }

  /** @throws Fault SNAPSHOT_NOT_FOUND. */
  async get(id: string): Promise<Snapshot> {
    const snapshot = await this.#options.store.find(id);
    if (snapshot?.state !== "ready") throw snapshotNotFound(id);
    return snapshot;
  }

  /** @throws Fault INVALID_ARGUMENT for a bad cursor. */
  async list(query: SnapshotQuery): Promise<Page<Snapshot>> {
    return this.#options.store.list(query);
  }

  /**
   * Deletes a snapshot; deleting one that is gone succeeds. That of a paused
   * machine takes the machine with it.
   */
  async delete(id: string, signal: AbortSignal): Promise<void> {
    const { store, ending, removal, hostId } = this.#options;
    const snapshot = await store.find(id);
    // One that is still being captured is nobody's yet.
    if (snapshot === undefined || snapshot.state === "creating") return;
    if (snapshot.hostId !== hostId) {
      throw machineElsewhere({ id: snapshot.machineId, hostId: snapshot.hostId });
    }
    if (snapshot.kind === "pause") {
      await ending.kill(snapshot.machineId, { cause: "snapshot deleted", signal });
    } else await removal.remove(id, "request", signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#creations[Symbol.asyncDispose]();
  }

  async #create(
    id: string,
    request: SnapshotRequest,
    hash: string,
    signal: AbortSignal,
  ): Promise<Snapshot> {
    const former = await this.#findFormer(request, hash);
    if (former !== undefined) return former;
    const timings = new Timings();
    return this.#options.captures.run(
      request.machineId,
      async (stop) => {
        timings.mark("waitMs");
        return this.#capture(id, request, hash, timings, stop);
      },
      signal,
    );
  }

  async #capture(
    id: string,
    request: SnapshotRequest,
    hash: string,
    timings: Timings,
    signal: AbortSignal,
  ): Promise<Snapshot> {
    const { hostId, host, store, machineStore, quotas, onEvent } = this.#options;
    const { machineId, name, metadata, idempotencyKey } = request;
    const machine = await localRunningMachine({ hostId, store: machineStore }, machineId);
    const snapshot: NewSnapshot = {
      ...lineageOf(machine),
      id,
      kind: "reusable",
      name,
      metadata,
      createdAt: new Date(),
      idempotencyKey: idempotencyKey || undefined,
      requestHash: hash,
    };
    const inserted = await store.insert(snapshot, quotas.snapshots);
    if (inserted === undefined) return this.#findWinner(request, hash);
    try {
      const { sizeBytes, stoppedMs, diskMb } = await host.captureMachine(
        { machineId, snapshotId: id, outcome: CaptureOutcome.CONTINUE, durable: true },
        { signal, timeoutMs: HOST_DEADLINES_MS.captureMachine },
      );
      timings.mark("captureMs");
      const capture = { sizeBytes: Number(sizeBytes), stoppedMs, diskMb };
      const note = { cause: "request", timings: { ...timings.phases, stoppedMs } };
      const completed = await store.complete(id, capture, new Date(), note);
      if (completed === undefined) throw snapshotNotFound(id);
      onEvent();
      return completed;
    } catch (error) {
      await this.#undo(id);
      throw captureFailure(machineId, error);
    }
  }

  /** Leaves nothing of a snapshot that could not be finished, and sets its idempotency key free. */
  async #undo(id: string): Promise<void> {
    try {
      await this.#options.removal.remove(id, "capture failed");
    } catch (err) {
      this.#options.log.warn({ snapshotId: id, err }, "left to the reconciler");
    }
  }

  async #findFormer(
    { projectId, idempotencyKey: key }: SnapshotRequest,
    hash: string,
  ): Promise<Snapshot | undefined> {
    if (key === "") return undefined;
    const former = await this.#options.store.findByIdempotencyKey(projectId, key);
    if (former === undefined) return undefined;
    if (former.requestHash !== hash) throw idempotencyConflict("snapshot", former.id);
    if (former.state === "ready") return former;
    throw unfinished("is still being made by another server");
  }

  async #findWinner(request: SnapshotRequest, hash: string): Promise<Snapshot> {
    const winner = await this.#findFormer(request, hash);
    if (winner !== undefined) return winner;
    throw unfinished("has just failed");
  }
}

function unfinished(what: string): Fault {
  return new Fault(ErrorReason.SERVER_NOT_READY, `the snapshot of this idempotency key ${what}`, {
    remedy: "Make the call again.",
  });
}

function checkSnapshotRequest({ name, metadata, idempotencyKey }: SnapshotRequest): void {
  if (name.length > LIMITS.maxSnapshotNameLength || name.includes("\0")) {
    throw invalid(
      "name",
      "is too long or holds a NUL character",
      `Use at most ${LIMITS.maxSnapshotNameLength} characters.`,
    );
  }
  checkMetadata(metadata);
  checkIdempotencyKey(idempotencyKey);
}
