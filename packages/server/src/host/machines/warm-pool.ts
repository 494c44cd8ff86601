import { randomBytes } from "node:crypto";
import { ErrorReason, WarmPoolMode } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { StartMachineRequest } from "@nullspace/proto/host";
import type { Log } from "../../domain/log.js";
import type { Deadline } from "../deadline.js";
import type { Layers } from "../flat-layers.js";
import type { AdoptedMachine } from "./hosted-machine.js";
import type { MachineStarter } from "./machine-starter.js";
import type { StartAttempt } from "./start-attempt.js";

/** Restoring and warming up, under emulation on a busy host. */
const START_MS = 180_000;
/** When to try again after a start that failed. */
const RETRY_MS = 10_000;

/** Names of machines that wait; no other machine's name begins so. */
const PREFIX = "w-";

/** Whether this is the name of a machine that waits, or waited, in a pool. */
export function isPooled(id: string): boolean {
  return id.startsWith(PREFIX);
}

/**
 * Machines that are restored, warm and stopped, and wait for somebody who asks for one of
 * their snapshot. Each is handed out once, and replaced in the background.
 */
export class WarmPool implements AsyncDisposable {
  readonly #starter: MachineStarter;
  readonly #log: Log;
  readonly #ready = new Map<string, Set<StartAttempt>>();
  /** What the one that is being started lies over. */
  #starting: Layers | undefined;
  readonly #stopping = new AbortController();
  /** How many of each snapshot there shall be. */
  #wanted: ReadonlyMap<string, number> = new Map();
  #filling: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(starter: MachineStarter, log: Log) {
    this.#starter = starter;
    this.#log = log;
  }

  /** Sets how many of each snapshot there shall be; those of others are ended. */
  want(wanted: ReadonlyMap<string, number>): void {
    this.#wanted = wanted;
    this.#fill();
  }

  /** How many wait for a snapshot's next machine. */
  ready(snapshotId: string): number {
    return this.#ready.get(snapshotId)?.size ?? 0;
  }

  /**
   * Makes one that waits the machine that is asked for.
   *
   * @param keep - told what the machine lies over.
   * @returns `undefined` when there is none that fits.
   * @throws Fault WARM_POOL_EMPTY instead, if one is required.
   */
  async take(
    request: StartMachineRequest,
    keep: (layers: Layers) => void,
    deadline: Deadline,
  ): Promise<AdoptedMachine | undefined> {
    if (request.warmPool === WarmPoolMode.OFF) return undefined;
    for (let attempt = this.#pop(request); attempt !== undefined; attempt = this.#pop(request)) {
      keep(attempt.snapshot);
      this.#fill();
      try {
        await attempt.wake(request.machineId, deadline);
        return await attempt.adopt(request, deadline);
      } catch (error) {
        const err = await attempt.undo(error, deadline.signal);
        deadline.signal?.throwIfAborted();
        this.#log.warn({ machineId: request.machineId, err }, "a machine of the warm pool failed");
      }
    }
    if (request.warmPool !== WarmPoolMode.REQUIRE) return undefined;
    throw new Fault(
      ErrorReason.WARM_POOL_EMPTY,
      `no machine of snapshot ${request.snapshotId} waits in the warm pool`,
      { remedy: "Try again in a moment, use warmPool prefer, or raise --warm-pool." },
    );
  }

  /** What those who wait, or soon will, lie over. */
  *needs(): Generator<Layers> {
    if (this.#starting !== undefined) yield this.#starting;
    for (const ready of this.#ready.values()) for (const { snapshot } of ready) yield snapshot;
  }

  /** Ends all that wait. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the host is stopping"));
    clearTimeout(this.#retry);
    await this.#filling;
    this.#wanted = new Map();
    await this.#endUnwanted();
  }

  #pop({ snapshotId, diskMb }: StartMachineRequest): StartAttempt | undefined {
    const ready = this.#ready.get(snapshotId);
    for (const attempt of ready ?? []) {
      if (diskMb !== 0 && diskMb !== attempt.diskMb) continue;
      ready?.delete(attempt);
      return attempt;
    }
    return undefined;
  }

  #fill(): void {
    if (this.#stopping.signal.aborted || this.#filling !== undefined) return;
    this.#filling = this.#fillAll().finally(() => {
      this.#filling = undefined;
    });
  }

  async #fillAll(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      await this.#endUnwanted();
      for (;;) {
        const missing = [...this.#wanted].find(([id, count]) => this.ready(id) < count);
        if (missing === undefined || signal.aborted) return;
        await this.#add(missing[0]);
      }
    } catch (err) {
      if (signal.aborted) return;
      this.#log.warn({ err }, "the warm pool could not be filled; trying again");
      this.#retry = setTimeout(() => this.#fill(), RETRY_MS).unref();
    }
  }

  async #add(snapshotId: string): Promise<void> {
    const id = PREFIX + randomBytes(8).toString("hex");
    const deadline = { timeoutMs: START_MS, signal: this.#stopping.signal };
    const keep = (layers: Layers) => (this.#starting = layers);
    try {
      const attempt = await this.#starter.startPooled(id, snapshotId, keep, deadline);
      const ready = this.#ready.get(snapshotId) ?? new Set();
      this.#ready.set(snapshotId, ready.add(attempt));
      attempt.ended?.addEventListener("abort", () => void this.#drop(snapshotId, attempt));
    } finally {
      this.#starting = undefined;
    }
  }

  /** One that dies while it waits is replaced. */
  async #drop(snapshotId: string, attempt: StartAttempt): Promise<void> {
    if (this.#ready.get(snapshotId)?.delete(attempt) !== true) return;
    await attempt.undo(undefined, undefined);
    this.#fill();
  }

  async #endUnwanted(): Promise<void> {
    for (const [snapshotId, ready] of this.#ready) {
      const unwanted = [...ready].slice(this.#wanted.get(snapshotId) ?? 0);
      for (const attempt of unwanted) {
        ready.delete(attempt);
        await attempt.undo(undefined, undefined);
      }
      if (ready.size === 0) this.#ready.delete(snapshotId);
    }
  }
}
