import { type AdoptionReceipt, ErrorReason, type WarmPoolMode } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Capacity } from "./capacity.js";
import type { Ending } from "./ending.js";
import { describeError } from "./failure.js";
import { machineNotFound, machineNotRunning } from "./faults.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import type { Lifecycle } from "./lifecycle.js";
import type { Log } from "./log.js";
import type { Machine, Receipt, RestoreKind } from "./machine.js";
import type { MachineStore, NewMachine } from "./machine-store.js";
import type { Starts } from "./starts.js";
import type { Timings } from "./timings.js";

/** What {@link Maker} needs. */
export interface MakerOptions {
  readonly host: HostClient;
  readonly store: MachineStore;
  readonly lifecycle: Lifecycle;
  readonly capacity: Capacity;
  readonly starts: Starts;
  readonly ending: Ending;
  readonly log: Log;
}

/** A machine to be made, and how its guest is set up. */
export interface Plan {
  readonly machine: NewMachine;
  readonly envs: Readonly<Record<string, string>>;
  /** Working directory to set; empty to keep that of the captured guest. */
  readonly cwd: string;
  /** Adds `envs` to those of the captured guest. */
  readonly keepEnvironment: boolean;
  /** On a host that gives machines no network it goes without, as if its policy let nothing pass. */
  readonly networkOptional: boolean;
  readonly warmPool: WarmPoolMode;
  /** What its snapshot was taken of. */
  readonly kind: RestoreKind;
  /** Why it is made: "request", "resume", "fork". */
  readonly cause: string;
}

/** Makes a machine from a snapshot of its host: all of it, or nothing. */
export class Maker {
  readonly #options: MakerOptions;

  constructor(options: MakerOptions) {
    this.#options = options;
  }

  /**
   * Makes a machine and waits until its guest has confirmed clock, entropy and
   * identity. If that fails, nothing is left of it but a failed record.
   *
   * @returns `undefined`, and makes nothing, when its idempotency key is taken.
   * @throws Fault CAPACITY_EXCEEDED, MACHINE_NOT_RUNNING when it was killed
   * meanwhile, and what the host throws.
   */
  async make(plan: Plan, timings: Timings, signal: AbortSignal): Promise<Machine | undefined> {
    const { id } = plan.machine;
    using start = this.#options.starts.begin(id, signal);
    if (!(await this.#insert(plan))) return undefined;
    timings.mark("insertMs");
    try {
      return await this.#start(plan, timings, start.signal);
    } catch (error) {
      // A kill waits for the maker to let go, and undoing may wait for that kill.
      start[Symbol.dispose]();
      await this.#undo(plan, error, start.signal);
      throw error;
    }
  }

  /** @returns Whether it was added: false when its idempotency key is taken. */
  async #insert({ machine, cause }: Plan): Promise<boolean> {
    const { capacity, lifecycle } = this.#options;
    capacity.admit(machine.id, machine.memoryMb);
    let inserted: Machine | undefined;
    try {
      inserted = await lifecycle.add(machine, cause);
    } finally {
      if (inserted === undefined) capacity.release(machine.id);
    }
    return inserted !== undefined;
  }

  async #start(plan: Plan, timings: Timings, signal: AbortSignal): Promise<Machine> {
    const { host, lifecycle, store } = this.#options;
    const { machine, envs, cwd, keepEnvironment, networkOptional, warmPool, kind, cause } = plan;
    const { id, snapshotId, diskMb, timeoutSeconds, egress } = machine;
    const guest = { hostname: id, envs, cwd, keepEnvironment };
    const network = { egress, networkOptional };
    const { receipt, fromWarmPool } = await host.startMachine(
      { machineId: id, snapshotId, diskMb, warmPool, ...guest, ...network },
      { signal, timeoutMs: HOST_DEADLINES_MS.startMachine },
    );
    timings.mark("startMs");
    signal.throwIfAborted();
    const now = new Date();
    const running = await lifecycle.move(
      id,
      "start",
      { cause, timings: timings.phases },
      {
        startedAt: now,
        timeoutAt: deadlineAfter(timeoutSeconds, now),
        receipt: confirmedReceipt(receipt, kind),
        fromWarmPool,
      },
    );
    if (running !== undefined) return running;
    const found = await store.find(id);
    throw found === undefined ? machineNotFound(id) : machineNotRunning(found);
  }

  /** Leaves nothing of a machine that could not be finished, and sets its idempotency key free. */
  async #undo({ machine: { id } }: Plan, error: unknown, signal: AbortSignal): Promise<void> {
    const { ending, log } = this.#options;
    try {
      if (signal.aborted && !(signal.reason instanceof Fault)) {
        await ending.kill(id, { cause: "cancelled", releaseKey: true });
      } else {
        await ending.fail(id, "start failed", describeError(error), { releaseKey: true });
      }
    } catch (cause) {
      log.warn({ machineId: id, err: cause }, "an unfinished machine is left to the reconciler");
    }
  }
}

/** The moment so many seconds after another one; `undefined` for 0 seconds, which means never. */
export function deadlineAfter(seconds: number, moment: Date): Date | undefined {
  return seconds === 0 ? undefined : new Date(moment.getTime() + seconds * 1000);
}

/** @throws Fault ADOPTION_FAILED when the host released a machine that confirmed nothing. */
function confirmedReceipt(receipt: AdoptionReceipt | undefined, kind: RestoreKind): Receipt {
  if (receipt === undefined || !receipt.entropyReseeded || !receipt.identityRenewed) {
    throw new Fault(
      ErrorReason.ADOPTION_FAILED,
      "the machine did not confirm fresh entropy and an identity of its own",
      { remedy: "Try again; if it stays so, the template's agent is too old for this server." },
    );
  }
  const { generation, clockSkewMs, entropyReseeded, identityRenewed } = receipt;
  return {
    kind,
    generation: Number(generation),
    clockSkewMs: Number(clockSkewMs),
    entropyReseeded,
    identityRenewed,
  };
}
