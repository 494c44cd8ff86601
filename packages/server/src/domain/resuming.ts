import { WarmPoolMode } from "@nullspace/proto";
import type { Ending } from "./ending.js";
import { machineNotRunning, snapshotConsumed, snapshotNotFound } from "./faults.js";
import type { Lifecycle } from "./lifecycle.js";
import { invalid } from "./limits.js";
import { localMachine } from "./local-machine.js";
import type { Log } from "./log.js";
import { hasEnded, type Machine } from "./machine.js";
import { checkTimeout } from "./machine-request.js";
import type { MachineStore } from "./machine-store.js";
import type { Maker, Plan } from "./maker.js";
import type { Pausing } from "./pausing.js";
import { newMachineId } from "./random.js";
import { SharedTasks } from "./shared-tasks.js";
import type { SnapshotStore } from "./snapshot.js";
import { Timings } from "./timings.js";

/** What {@link Resuming} needs. */
export interface ResumingOptions {
  readonly hostId: string;
  readonly store: MachineStore;
  readonly snapshotStore: SnapshotStore;
  readonly lifecycle: Lifecycle;
  readonly maker: Maker;
  readonly pausing: Pausing;
  readonly ending: Ending;
  readonly log: Log;
}

/** A machine that runs, and whether it was resumed for this call. */
export interface Connected {
  readonly machine: Machine;
  readonly resumed: boolean;
}

/**
 * Resumes paused machines. A paused machine stays as an alias of the one that goes
 * on from it, which has an id of its own. If it cannot be resumed it is paused as
 * before; there is never a fresh machine in its place.
 */
export class Resuming implements AsyncDisposable {
  readonly #options: ResumingOptions;
  readonly #resumes = new SharedTasks<Machine>("abort");

  constructor(options: ResumingOptions) {
    this.#options = options;
  }

  /** Whether this process is resuming this machine at the moment. */
  isResuming(id: string): boolean {
    return this.#resumes.has(id);
  }

  /**
   * Finds the machine that runs behind an id, and resumes it if it has to be.
   *
   * @param timeoutSeconds For one that has to be resumed; its own when `undefined`.
   * @throws Fault MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING, MACHINE_DIED,
   * SNAPSHOT_CONSUMED, CAPACITY_EXCEEDED, and what the host throws.
   */
  async connect(
    id: string,
    timeoutSeconds: number | undefined,
    signal: AbortSignal,
  ): Promise<Connected> {
    if (timeoutSeconds !== undefined) checkTimeout("timeout_seconds", timeoutSeconds);
    let machine = await this.#get(id);
    for (;;) {
      if (machine.state === "running") return { machine, resumed: false };
      if (machine.state === "pausing") machine = await this.#whenPaused(machine.id, signal);
      else if (machine.state === "paused" && machine.resumedAs !== "") {
        machine = await this.#successor(machine);
      } else if (machine.state === "paused" || machine.state === "resuming") {
        const { id: alias } = machine;
        const make = (stop: AbortSignal) => this.#resume(alias, timeoutSeconds, stop);
        return { machine: await this.#resumes.run(alias, make, signal), resumed: true };
      } else throw machineNotRunning(machine);
    }
  }

  /**
   * Resumes a paused machine by its snapshot; one that is resumed already gives
   * the machine that goes on from it.
   *
   * @throws Fault SNAPSHOT_NOT_FOUND, SNAPSHOT_CONSUMED, INVALID_ARGUMENT for a
   * reusable snapshot, and what {@link connect} throws.
   */
  async resume(
    snapshotId: string,
    timeoutSeconds: number | undefined,
    signal: AbortSignal,
  ): Promise<Connected> {
    const { store, snapshotStore } = this.#options;
    const snapshot = await snapshotStore.find(snapshotId);
    if (snapshot?.kind === "reusable") {
      throw invalid(
        "snapshot_id",
        `${snapshot.id} is a reusable snapshot, of a machine that was not paused`,
        "Call Create with it as snapshot_id.",
      );
    }
    const alias = snapshotId === "" ? undefined : await store.findByPausedSnapshot(snapshotId);
    if (alias === undefined) throw snapshotNotFound(snapshotId);
    if (hasEnded(alias.state) || alias.state === "killing") {
      throw alias.resumedAs === "" ? snapshotNotFound(snapshotId) : snapshotConsumed(alias);
    }
    return this.connect(alias.id, timeoutSeconds, signal);
  }

  /** Ends a resume that nobody in this process is doing: resumed, or paused as before. */
  async mend(id: string, cause: string): Promise<void> {
    if (this.isResuming(id)) return;
    const machine = await this.#options.store.find(id);
    if (machine?.state === "resuming") await this.#settle(machine, cause);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resumes[Symbol.asyncDispose]();
  }

  async #resume(
    id: string,
    timeoutSeconds: number | undefined,
    signal: AbortSignal,
  ): Promise<Machine> {
    const { lifecycle, maker, log } = this.#options;
    const found = await this.#get(id);
    // Resuming already: by a process that is gone.
    if (found.state === "resuming") await this.#settle(found, "request");
    const childId = newMachineId();
    const alias = await lifecycle.move(id, "resume", { cause: "request" }, { resumedAs: childId });
    if (alias === undefined) throw machineNotRunning(await this.#get(id));
    const plan = planOf(alias, timeoutSeconds ?? alias.timeoutSeconds);
    try {
      const made = await maker.make(plan, new Timings(), signal);
      if (made === undefined) throw new Error("a machine without an idempotency key was not added");
      return made;
    } finally {
      await this.#settle(alias, "request").catch((err: unknown) => {
        log.warn({ machineId: id, err }, "a resume is left to the reconciler");
      });
    }
  }

  /** Notes whether the machine that was to go on from this one ever ran. */
  async #settle(alias: Machine, cause: string): Promise<void> {
    const { store, lifecycle, ending } = this.#options;
    const child = await store.find(alias.resumedAs);
    const ran = child?.startedAt !== undefined;
    const settled = await lifecycle.move(
      alias.id,
      "settle",
      { cause },
      ran ? {} : { resumedAs: "" },
    );
    if (settled === undefined || !ran) return;
    // While this was `resuming`, the end of the other did not reach it.
    const now = await store.find(alias.resumedAs);
    if (now === undefined || hasEnded(now.state)) await ending.endAlias(settled);
  }

  async #whenPaused(id: string, signal: AbortSignal): Promise<Machine> {
    try {
      return (await this.#options.pausing.pause(id, "request", signal)).machine;
    } catch (error) {
      const machine = await this.#get(id);
      // One that could not be paused runs, and that is what is wanted here.
      if (machine.state === "pausing" || signal.aborted) throw error;
      return machine;
    }
  }

  async #successor(alias: Machine): Promise<Machine> {
    const successor = await this.#options.store.find(alias.resumedAs);
    if (successor !== undefined && !hasEnded(successor.state)) return successor;
    throw snapshotConsumed(alias);
  }

  async #get(id: string): Promise<Machine> {
    return localMachine(this.#options, id);
  }
}

/** The machine that goes on from a paused one: the same in all but its id. */
function planOf(alias: Machine, timeoutSeconds: number): Plan {
  return {
    machine: {
      id: alias.resumedAs,
      projectId: alias.projectId,
      hostId: alias.hostId,
      templateName: alias.templateName,
      templateTag: alias.templateTag,
      snapshotId: alias.pausedSnapshotId,
      sourceSnapshotId: alias.pausedSnapshotId,
      parentId: alias.id,
      vcpus: alias.vcpus,
      memoryMb: alias.memoryMb,
      diskMb: alias.diskMb,
      metadata: alias.metadata,
      cwd: alias.cwd,
      createdAt: new Date(),
      onTimeout: alias.onTimeout,
      timeoutSeconds,
      autoResume: alias.autoResume,
      previews: alias.previews,
      idleSeconds: alias.idleSeconds,
      deletePausedAfterSeconds: alias.deletePausedAfterSeconds,
      egress: alias.egress,
      idempotencyKey: undefined,
      requestHash: "",
    },
    envs: {},
    cwd: "",
    keepEnvironment: true,
    networkOptional: true,
    warmPool: WarmPoolMode.OFF,
    kind: "pause",
    cause: "resume",
  };
}
