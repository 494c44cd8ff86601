import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { TemplateImage } from "@nullspace/proto/host";
import { checkEgress, defaultEgress } from "./egress-policy.js";
import { idempotencyConflict, machineElsewhere, snapshotNotFound } from "./faults.js";
import { invalid, LIMITS } from "./limits.js";
import type { Machine } from "./machine.js";
import { checkMachineRequest, hashMachineRequest, type MachineRequest } from "./machine-request.js";
import type { MachineStore, NewMachine } from "./machine-store.js";
import type { Maker, Plan } from "./maker.js";
import { newMachineId } from "./random.js";
import { SharedTasks } from "./shared-tasks.js";
import type { Snapshot, SnapshotStore } from "./snapshot.js";
import type { Templates } from "./templates.js";
import { Timings } from "./timings.js";

/** What {@link Creation} needs. */
export interface CreationOptions {
  readonly hostId: string;
  readonly store: MachineStore;
  readonly snapshotStore: SnapshotStore;
  readonly templates: Templates;
  readonly maker: Maker;
}

/** Makes machines from templates and reusable snapshots. */
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
   * @throws Fault INVALID_ARGUMENT, TEMPLATE_NOT_FOUND, SNAPSHOT_NOT_FOUND,
   * CAPACITY_EXCEEDED, IDEMPOTENCY_CONFLICT, MACHINE_NOT_RUNNING when it was
   * killed meanwhile, and what the host throws.
   */
  async create(request: MachineRequest, signal: AbortSignal): Promise<Machine> {
    checkMachineRequest(request);
    const id = newMachineId();
    const hash = hashMachineRequest(request);
    // The hash is part of the name, so that only equal requests share a task;
    // for others under the same key the store finds the conflict.
    const { projectId, idempotencyKey } = request;
    const name = idempotencyKey === "" ? id : `${projectId} ${idempotencyKey} ${hash}`;
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
    const { projectId, idempotencyKey } = request;
    const former = await this.#findFormer(request, hash);
    if (former !== undefined) return former;

    const egress = request.egress && checkEgress(request.egress);
    const timings = new Timings();
    const origin =
      request.snapshotId === ""
        ? await this.#fromTemplate(request, timings, signal)
        : await this.#fromSnapshot(request);
    const plan: Plan = {
      machine: {
        ...origin,
        id,
        projectId,
        hostId: this.#options.hostId,
        metadata: request.metadata,
        createdAt: new Date(),
        onTimeout: request.onTimeout ?? "kill",
        timeoutSeconds: request.timeoutSeconds ?? LIMITS.defaultTimeoutSeconds,
        autoResume: request.autoResume,
        previews: { ...request.previews, trafficId: id },
        idleSeconds: request.idleSeconds,
        deletePausedAfterSeconds: request.deletePausedAfterSeconds,
        egress: egress ?? origin.egress,
        idempotencyKey: idempotencyKey || undefined,
        requestHash: hash,
      },
      envs: request.envs,
      cwd: request.snapshotId === "" ? origin.cwd : request.cwd,
      keepEnvironment: request.snapshotId !== "",
      networkOptional: egress === undefined,
      warmPool: request.warmPool,
      kind: request.snapshotId === "" ? "template" : "snapshot",
      cause: "request",
    };
    const made = await this.#options.maker.make(plan, timings, signal);
    return made ?? this.#findWinner(request, hash);
  }

  async #fromTemplate(
    request: MachineRequest,
    timings: Timings,
    signal: AbortSignal,
  ): Promise<Origin> {
    const { templates } = this.#options;
    const template = await templates.resolve(request.template || "base", signal);
    const size = sizeOf(request, template);
    timings.mark("resolveMs");
    const capture = { imageDigest: template.imageDigest, ...size };
    const snapshotId = await templates.capture(capture, signal);
    timings.mark("captureMs");
    return {
      templateName: template.name,
      templateTag: template.tag,
      snapshotId,
      sourceSnapshotId: "",
      parentId: "",
      ...size,
      cwd: request.cwd || "/workspace",
      egress: defaultEgress(),
    };
  }

  async #fromSnapshot(request: MachineRequest): Promise<Origin> {
    const { snapshotStore, hostId } = this.#options;
    const snapshot = await snapshotStore.findIn(request.projectId, request.snapshotId);
    if (snapshot?.state !== "ready") throw snapshotNotFound(request.snapshotId);
    if (snapshot.kind === "pause") {
      throw invalid(
        "snapshot_id",
        `${snapshot.id} is of a paused machine, from which one machine goes on`,
        "Call Resume with it; to start several machines, take a snapshot with createSnapshot.",
      );
    }
    if (snapshot.hostId !== hostId) {
      throw machineElsewhere({ id: snapshot.machineId, hostId: snapshot.hostId });
    }
    const { templateName, templateTag, vcpus, memoryMb } = snapshot;
    return {
      templateName,
      templateTag,
      snapshotId: snapshot.id,
      sourceSnapshotId: snapshot.id,
      parentId: snapshot.machineId,
      vcpus,
      memoryMb,
      diskMb: diskOf(request, snapshot),
      cwd: request.cwd || snapshot.cwd,
      egress: snapshot.egress,
    };
  }

  async #findFormer(
    { projectId, idempotencyKey: key }: MachineRequest,
    hash: string,
  ): Promise<Machine | undefined> {
    if (key === "") return undefined;
    const former = await this.#options.store.findByIdempotencyKey(projectId, key);
    if (former === undefined) return undefined;
    if (former.requestHash !== hash) throw idempotencyConflict("machine", former.id);
    // Requests to this process share one task, so another server is making it.
    if (former.state === "creating") throw stillCreating(former);
    return former;
  }

  /** The machine that got this idempotency key between our look and our insert. */
  async #findWinner(request: MachineRequest, hash: string): Promise<Machine> {
    const winner = await this.#findFormer(request, hash);
    if (winner !== undefined) return winner;
    throw new Fault(
      ErrorReason.SERVER_NOT_READY,
      "another request with this idempotency key came first and has just failed",
      { remedy: "Make the call again." },
    );
  }
}

/** What a new machine has of the template or the snapshot that it starts from. */
type Origin = Pick<
  NewMachine,
  | "templateName"
  | "templateTag"
  | "snapshotId"
  | "sourceSnapshotId"
  | "parentId"
  | "vcpus"
  | "memoryMb"
  | "diskMb"
  | "cwd"
  | "egress"
>;

/**
 * The size of a machine: what is asked for, else the template's own.
 *
 * @throws Fault INVALID_ARGUMENT for a disk that is smaller than the template's.
 */
function sizeOf(
  request: MachineRequest,
  template: TemplateImage,
): { vcpus: number; memoryMb: number; diskMb: number } {
  return {
    vcpus: request.vcpus || template.defaultVcpus,
    memoryMb: request.memoryMb || template.defaultMemoryMb,
    diskMb: atLeast(request.diskMb || template.diskMb, template.diskMb, "template"),
  };
}

/**
 * The disk of a machine that starts from a snapshot.
 *
 * @throws Fault INVALID_ARGUMENT for another size than the snapshot's; only the disk may be larger.
 */
function diskOf(request: MachineRequest, snapshot: Snapshot): number {
  for (const [field, asked, fixed] of [
    ["vcpus", request.vcpus, snapshot.vcpus],
    ["memory_mb", request.memoryMb, snapshot.memoryMb],
  ] as const) {
    if (asked === 0 || asked === fixed) continue;
    throw invalid(
      field,
      `is ${asked}, and the snapshot's is ${fixed}`,
      "Leave it out: a snapshot's size is fixed.",
    );
  }
  return atLeast(request.diskMb || snapshot.diskMb, snapshot.diskMb, "snapshot");
}

function atLeast(diskMb: number, least: number, whose: string): number {
  if (diskMb >= least) return diskMb;
  throw invalid(
    "disk_mb",
    `is ${diskMb}, less than the ${whose}'s own ${least}`,
    `Ask for ${least} to ${LIMITS.maxDiskMb} MiB, or leave it out.`,
  );
}

function stillCreating(machine: Machine): Fault {
  return new Fault(
    ErrorReason.SERVER_NOT_READY,
    `machine ${machine.id} of this idempotency key is still being made by another server`,
    { remedy: "Make the call again.", details: { machine_id: machine.id } },
  );
}
