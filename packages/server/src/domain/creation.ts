import { type AdoptionReceipt, ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { TemplateImage } from "@nullspace/proto/host";
import type { Capacity } from "./capacity.js";
import type { Ending } from "./ending.js";
import { describeError } from "./failure.js";
import { idempotencyConflict, machineNotFound, machineNotRunning } from "./faults.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import type { Lifecycle } from "./lifecycle.js";
import { invalid, LIMITS } from "./limits.js";
import type { Log } from "./log.js";
import type { Machine, Receipt } from "./machine.js";
import { checkMachineRequest, hashMachineRequest, type MachineRequest } from "./machine-request.js";
import type { MachineStore, NewMachine } from "./machine-store.js";
import { newMachineId } from "./random.js";
import { SharedTasks } from "./shared-tasks.js";
import type { Starts } from "./starts.js";
import type { Templates } from "./templates.js";
import { Timings } from "./timings.js";

/** What {@link Creation} needs. */
export interface CreationOptions {
  readonly hostId: string;
  readonly host: HostClient;
  readonly store: MachineStore;
  readonly lifecycle: Lifecycle;
  readonly templates: Templates;
  readonly capacity: Capacity;
  readonly starts: Starts;
  readonly ending: Ending;
  readonly log: Log;
}

/** Makes machines: all of one, or nothing. */
export class Creation implements AsyncDisposable {
  readonly #options: CreationOptions;
  /** Who gives up takes the machine with it, unless another retry waits for the same one. */
  readonly #creations = new SharedTasks<Machine>("abort");

  constructor(options: CreationOptions) {
    this.#options = options;
  }

  /**
   * Makes a machine and waits until its guest has confirmed clock, entropy and
   * identity. When the caller gives up or its deadline passes before that, the
   * machine is killed and nothing of it is left.
   *
   * Two requests with one idempotency key get the same machine, also while it is
   * still being made; a request that came to nothing sets its key free.
   *
   * @throws Fault INVALID_ARGUMENT, TEMPLATE_NOT_FOUND, CAPACITY_EXCEEDED,
   * IDEMPOTENCY_CONFLICT, MACHINE_NOT_RUNNING when it was killed meanwhile, and
   * what the host throws.
   */
  async create(request: MachineRequest, signal: AbortSignal): Promise<Machine> {
    checkMachineRequest(request);
    const id = newMachineId();
    const hash = hashMachineRequest(request);
    // The hash is part of the name, so that only equal requests share a task;
    // for others under the same key the store finds the conflict.
    const name = request.idempotencyKey === "" ? id : `${request.idempotencyKey} ${hash}`;
    return this.#creations.run(name, (stop) => this.#make(id, request, hash, stop), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#creations[Symbol.asyncDispose]();
  }

  async #make(
    id: string,
    request: MachineRequest,
    hash: string,
    signal: AbortSignal,
  ): Promise<Machine> {
    const { templates, starts } = this.#options;
    const former = await this.#findFormer(request.idempotencyKey, hash);
    if (former !== undefined) return former;

    const timings = new Timings();
    const template = await templates.resolve(request.template || "base", signal);
    const size = sizeOf(request, template);
    timings.mark("resolveMs");
    const capture = { imageDigest: template.imageDigest, ...size };
    const snapshotId = await templates.capture(capture, signal);
    timings.mark("captureMs");

    const { metadata, cwd, onTimeout, idempotencyKey } = request;
    const machine: NewMachine = {
      id,
      hostId: this.#options.hostId,
      templateName: template.name,
      templateTag: template.tag,
      snapshotId,
      ...size,
      metadata,
      cwd: cwd || "/workspace",
      createdAt: new Date(),
      onTimeout: onTimeout ?? "kill",
      idempotencyKey: idempotencyKey || undefined,
      requestHash: hash,
    };
    using start = starts.begin(id, signal);
    if (!(await this.#insert(machine))) return this.#findWinner(idempotencyKey, hash);
    timings.mark("insertMs");
    try {
      return await this.#start(machine, request, timings, start.signal);
    } catch (error) {
      // A kill waits for the maker to let go, and undoing may wait for that kill.
      start[Symbol.dispose]();
      await this.#undo(id, error, start.signal);
      throw error;
    }
  }

  /** @returns Whether it was added: false when its idempotency key is taken. */
  async #insert(machine: NewMachine): Promise<boolean> {
    const { capacity, store, lifecycle } = this.#options;
    capacity.admit(machine.id, machine.memoryMb);
    let inserted: Machine | undefined;
    try {
      inserted = await store.insert(machine);
    } finally {
      if (inserted === undefined) capacity.release(machine.id);
    }
    if (inserted !== undefined) lifecycle.announce(inserted, "creating");
    return inserted !== undefined;
  }

  async #start(
    machine: NewMachine,
    request: MachineRequest,
    timings: Timings,
    signal: AbortSignal,
  ): Promise<Machine> {
    const { host, lifecycle, store } = this.#options;
    const { id, snapshotId, cwd, diskMb } = machine;
    const { receipt } = await host.startMachine(
      { machineId: id, snapshotId, hostname: id, envs: request.envs, cwd, diskMb },
      { signal, timeoutMs: HOST_DEADLINES_MS.startMachine },
    );
    timings.mark("startMs");
    signal.throwIfAborted();
    const now = new Date();
    const seconds = request.timeoutSeconds ?? LIMITS.defaultTimeoutSeconds;
    const running = await lifecycle.move(
      id,
      "start",
      "request",
      {
        startedAt: now,
        timeoutAt: seconds === 0 ? undefined : new Date(now.getTime() + seconds * 1000),
        receipt: confirmedReceipt(receipt),
      },
      timings.phases,
    );
    if (running !== undefined) return running;
    const found = await store.find(id);
    throw found === undefined ? machineNotFound(id) : machineNotRunning(found);
  }

  /** Leaves nothing of a machine that could not be finished, and sets its idempotency key free. */
  async #undo(id: string, error: unknown, signal: AbortSignal): Promise<void> {
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

  async #findFormer(key: string, hash: string): Promise<Machine | undefined> {
    if (key === "") return undefined;
    const former = await this.#options.store.findByIdempotencyKey(key);
    if (former === undefined) return undefined;
    if (former.requestHash !== hash) throw idempotencyConflict(former);
    // Requests to this process share one task, so another server is making it.
    if (former.state === "creating") throw stillCreating(former);
    return former;
  }

  /** The machine that got this idempotency key between our look and our insert. */
  async #findWinner(key: string, hash: string): Promise<Machine> {
    const winner = await this.#findFormer(key, hash);
    if (winner !== undefined) return winner;
    throw new Fault(
      ErrorReason.SERVER_NOT_READY,
      "another request with this idempotency key came first and has just failed",
      { remedy: "Make the call again." },
    );
  }
}

/**
 * The size of a machine: what is asked for, else the template's own.
 *
 * @throws Fault INVALID_ARGUMENT for a disk that is smaller than the template's.
 */
function sizeOf(
  request: MachineRequest,
  template: TemplateImage,
): { vcpus: number; memoryMb: number; diskMb: number } {
  const diskMb = request.diskMb || template.diskMb;
  if (diskMb < template.diskMb) {
    throw invalid(
      "disk_mb",
      `is ${diskMb}, less than the template's own ${template.diskMb}`,
      `Ask for ${template.diskMb} to ${LIMITS.maxDiskMb} MiB, or leave it out.`,
    );
  }
  return {
    vcpus: request.vcpus || template.defaultVcpus,
    memoryMb: request.memoryMb || template.defaultMemoryMb,
    diskMb,
  };
}

/** @throws Fault ADOPTION_FAILED when the host released a machine that confirmed nothing. */
function confirmedReceipt(receipt: AdoptionReceipt | undefined): Receipt {
  if (receipt === undefined || !receipt.entropyReseeded || !receipt.identityRenewed) {
    throw new Fault(
      ErrorReason.ADOPTION_FAILED,
      "the machine did not confirm fresh entropy and an identity of its own",
      { remedy: "Try again; if it stays so, the template's agent is too old for this server." },
    );
  }
  const { generation, clockSkewMs, entropyReseeded, identityRenewed } = receipt;
  return {
    generation: Number(generation),
    clockSkewMs: Number(clockSkewMs),
    entropyReseeded,
    identityRenewed,
  };
}

function stillCreating(machine: Machine): Fault {
  return new Fault(
    ErrorReason.SERVER_NOT_READY,
    `machine ${machine.id} of this idempotency key is still being made by another server`,
    { remedy: "Make the call again.", details: { machine_id: machine.id } },
  );
}
