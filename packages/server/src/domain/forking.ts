import { ErrorReason, WarmPoolMode } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { CaptureOutcome } from "@nullspace/proto/host";
import type { Captures } from "./captures.js";
import type { Ending } from "./ending.js";
import type { EventStore } from "./event.js";
import { captureFailure } from "./failure.js";
import { idempotencyConflict } from "./faults.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import { invalid, LIMITS } from "./limits.js";
import { localRunningMachine } from "./local-machine.js";
import type { Log } from "./log.js";
import type { Machine, TimeoutAction } from "./machine.js";
import {
  checkEnvs,
  checkIdempotencyKey,
  checkMetadata,
  checkTimeout,
  hashOf,
  sortedEntries,
} from "./machine-request.js";
import type { MachineStore } from "./machine-store.js";
import type { Maker, Plan } from "./maker.js";
import { newMachineId, newSnapshotId } from "./random.js";
import { SharedTasks } from "./shared-tasks.js";
import type { SnapshotRemoval } from "./snapshot-removal.js";
import { Timings } from "./timings.js";

/** Children that are started side by side: more at once only make each of them slower. */
const SIDE_BY_SIDE = 4;

/** What {@link Forking} needs. */
export interface ForkingOptions {
  readonly hostId: string;
  readonly host: HostClient;
  readonly store: MachineStore;
  readonly eventStore: EventStore;
  readonly captures: Captures;
  readonly removal: SnapshotRemoval;
  readonly maker: Maker;
  readonly ending: Ending;
  /** Told when an event has been written. */
  readonly onEvent: () => void;
  readonly log: Log;
}

/** What the owner of a machine asks for when it is forked. */
export interface ForkRequest {
  readonly projectId: string;
  readonly id: string;
  /** 1 when 0. */
  readonly count: number;
  readonly idempotencyKey: string;
  /** The source's own when empty. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly envs: Readonly<Record<string, string>>;
  /** 300 when `undefined`, none when 0. */
  readonly timeoutSeconds: number | undefined;
  readonly onTimeout: TimeoutAction | undefined;
}

/** What became of one child. */
export type ForkOutcome = { readonly machine: Machine } | { readonly error: unknown };

/**
 * Makes running copies of one instant of a machine. The snapshot that they start
 * from is nobody's: it has no record, and the host keeps its bytes for as long as
 * a child needs them.
 */
export class Forking implements AsyncDisposable {
  readonly #options: ForkingOptions;
  readonly #forks = new SharedTasks<readonly ForkOutcome[]>("abort");
  /** Snapshots of forks in progress. */
  readonly #snapshots = new Set<string>();

  constructor(options: ForkingOptions) {
    this.#options = options;
  }

  /** Whether a fork in progress needs this snapshot. */
  owns(snapshotId: string): boolean {
    return this.#snapshots.has(snapshotId);
  }

  /**
   * Forks a running machine. A retry with the same idempotency key gets the same
   * children, and is told of those that failed.
   *
   * @returns One outcome per child. When the caller gives up there are no children.
   * @throws Fault INVALID_ARGUMENT, MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING,
   * MACHINE_DIED, IDEMPOTENCY_CONFLICT, CAPTURE_FAILED: then there is no child.
   */
  async fork(request: ForkRequest, signal: AbortSignal): Promise<readonly ForkOutcome[]> {
    checkForkRequest(request);
    const { projectId, idempotencyKey: key, metadata, envs, ...rest } = request;
    const hash = hashOf(["fork", rest, sortedEntries(metadata), sortedEntries(envs)]);
    const id = newSnapshotId();
    const task = key === "" ? id : `${projectId} ${key} ${hash}`;
    return this.#forks.run(task, (stop) => this.#fork(id, request, hash, stop), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#forks[Symbol.asyncDispose]();
  }

  async #fork(
    snapshotId: string,
    request: ForkRequest,
    hash: string,
    signal: AbortSignal,
  ): Promise<readonly ForkOutcome[]> {
    const { removal, eventStore, onEvent, log } = this.#options;
    const former = await this.#findFormer(request, hash);
    if (former !== undefined) return former;
    const timings = new Timings();
    this.#snapshots.add(snapshotId);
    try {
      const source = await this.#capture(snapshotId, request.id, timings, signal);
      const outcomes = await this.#makeAll(source, snapshotId, request, hash, signal);
      timings.mark("startMs");
      await eventStore.append({
        type: "machine forked",
        createdAt: new Date(),
        projectId: source.projectId,
        machineId: source.id,
        cause: "request",
        timings: timings.phases,
      });
      onEvent();
      return outcomes;
    } finally {
      await removal.drop(snapshotId).catch((err: unknown) => {
        log.warn({ snapshotId, err }, "the snapshot of a fork is left to the reconciler");
      });
      this.#snapshots.delete(snapshotId);
    }
  }

  /** Captures the machine as soon as nobody else does. */
  async #capture(
    snapshotId: string,
    machineId: string,
    timings: Timings,
    signal: AbortSignal,
  ): Promise<Machine> {
    const { captures, host } = this.#options;
    const capture = async (stop: AbortSignal) => {
      const source = await localRunningMachine(this.#options, machineId);
      timings.mark("waitMs");
      try {
        await host.captureMachine(
          { machineId, snapshotId, outcome: CaptureOutcome.CONTINUE, durable: false },
          { signal: stop, timeoutMs: HOST_DEADLINES_MS.captureMachine },
        );
      } catch (error) {
        throw captureFailure(machineId, error);
      }
      timings.mark("captureMs");
      return source;
    };
    return captures.run(machineId, capture, signal);
  }

  async #makeAll(
    source: Machine,
    snapshotId: string,
    request: ForkRequest,
    hash: string,
    signal: AbortSignal,
  ): Promise<readonly ForkOutcome[]> {
    const count = countOf(request);
    const outcomes: ForkOutcome[] = [];
    let next = 0;
    const work = async () => {
      while (next < count) {
        const index = next++;
        outcomes[index] = await this.#makeOne(
          planOf(source, snapshotId, request, hash, index),
          signal,
        );
      }
    };
    await Promise.all(Array.from({ length: Math.min(SIDE_BY_SIDE, count) }, work));
    if (!signal.aborted) return outcomes;
    await this.#killAll(outcomes);
    throw signal.reason;
  }

  async #makeOne(plan: Plan, signal: AbortSignal): Promise<ForkOutcome> {
    try {
      signal.throwIfAborted();
      const machine = await this.#options.maker.make(plan, new Timings(), signal);
      if (machine !== undefined) return { machine };
      throw new Fault(
        ErrorReason.SERVER_NOT_READY,
        "another request with this idempotency key came first",
        { remedy: "Make the call again." },
      );
    } catch (error) {
      return { error };
    }
  }

  /** Nobody will learn of these children. */
  async #killAll(outcomes: readonly ForkOutcome[]): Promise<void> {
    const { ending, log } = this.#options;
    const kill = async (outcome: ForkOutcome) => {
      if (!("machine" in outcome)) return;
      const { id } = outcome.machine;
      try {
        await ending.kill(id, { cause: "cancelled", releaseKey: true });
      } catch (err) {
        log.warn({ machineId: id, err }, "a child that nobody waits for could not be killed");
      }
    };
    await Promise.all(outcomes.map(kill));
  }

  /** What a former call with this idempotency key came to; `undefined` when it made no child. */
  async #findFormer(
    request: ForkRequest,
    hash: string,
  ): Promise<readonly ForkOutcome[] | undefined> {
    if (request.idempotencyKey === "") return undefined;
    const { store } = this.#options;
    const outcomes: ForkOutcome[] = [];
    for (let index = 0; index < countOf(request); index++) {
      const key = childKey(request.idempotencyKey, index);
      const former = await store.findByIdempotencyKey(request.projectId, key);
      if (former !== undefined && former.requestHash !== hash) {
        throw idempotencyConflict("machine", former.id);
      }
      const made = former?.startedAt !== undefined;
      outcomes.push(made ? { machine: former } : { error: childMissing(former) });
    }
    return outcomes.some((outcome) => "machine" in outcome) ? outcomes : undefined;
  }
}

function countOf({ count }: ForkRequest): number {
  return count || 1;
}

/** A space keeps it apart from every key of the API's own callers, whose children these are. */
function childKey(key: string, index: number): string {
  return `fork ${index} ${key}`;
}

function planOf(
  source: Machine,
  snapshotId: string,
  request: ForkRequest,
  hash: string,
  index: number,
): Plan {
  const { metadata, envs, idempotencyKey, timeoutSeconds, onTimeout } = request;
  return {
    machine: {
      id: newMachineId(),
      projectId: source.projectId,
      hostId: source.hostId,
      templateName: source.templateName,
      templateTag: source.templateTag,
      snapshotId,
      sourceSnapshotId: "",
      parentId: source.id,
      vcpus: source.vcpus,
      memoryMb: source.memoryMb,
      diskMb: source.diskMb,
      metadata: Object.keys(metadata).length === 0 ? source.metadata : metadata,
      cwd: source.cwd,
      createdAt: new Date(),
      onTimeout: onTimeout ?? "kill",
      timeoutSeconds: timeoutSeconds ?? LIMITS.defaultTimeoutSeconds,
      autoResume: false,
      previews: source.previews,
      idleSeconds: 0,
      deletePausedAfterSeconds: 0,
      egress: source.egress,
      idempotencyKey: idempotencyKey === "" ? undefined : childKey(idempotencyKey, index),
      requestHash: hash,
    },
    envs,
    cwd: "",
    keepEnvironment: true,
    networkOptional: true,
    warmPool: WarmPoolMode.OFF,
    kind: "fork",
    cause: "fork",
  };
}

function childMissing(former: Machine | undefined): Fault {
  const why = former?.failure ? `: ${former.failure}` : "";
  return new Fault(
    ErrorReason.MACHINE_START_FAILED,
    `this child was not made by the first call with this idempotency key${why}`,
    { remedy: "Fork again under another key." },
  );
}

function checkForkRequest(request: ForkRequest): void {
  if (request.count > LIMITS.maxForks) {
    throw invalid("count", `is ${request.count}`, `Ask for 1 to ${LIMITS.maxForks} children.`);
  }
  if (request.timeoutSeconds !== undefined) checkTimeout("timeout_seconds", request.timeoutSeconds);
  checkMetadata(request.metadata);
  checkEnvs(request.envs);
  checkIdempotencyKey(request.idempotencyKey);
}
