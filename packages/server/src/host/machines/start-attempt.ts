import { randomUUID } from "node:crypto";
import { open, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { clone, create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@nullspace/proto";
import {
  type MachineManifest,
  MachineManifestSchema,
  type StartMachineRequest,
} from "@nullspace/proto/host";
import type { Log } from "../../domain/log.js";
import { Timings } from "../../domain/timings.js";
import { adopt } from "../agent/adoption.js";
import type { ClockLead } from "../agent/clock-lead.js";
import { systemClient } from "../agent/system-client.js";
import type { Confinement } from "../confinement/confinement.js";
import type { GuestUser } from "../confinement/user-pool.js";
import { anySignal, type Deadline } from "../deadline.js";
import { removeTree } from "../durable-files.js";
import type { HostHome } from "../home.js";
import type { Acceleration } from "../qemu/accelerator.js";
import { AGENT_SOCKET } from "../qemu/command-line.js";
import { RESTORE_URI } from "../qemu/descriptors.js";
import type { Hypervisor } from "../qemu/hypervisor.js";
import { identifyProcess } from "../qemu/process-identity.js";
import { emptyOverlay } from "../qemu/qcow2-overlay.js";
import { QemuEndedError, type RunningQemu } from "../qemu/running-qemu.js";
import type { OpenSnapshot } from "../snapshot-store.js";
import { connectUnix } from "../unix-socket.js";
import { type AdoptedMachine, HostedMachine } from "./hosted-machine.js";
import { FIRST_DISK, type MachineDirectory } from "./machine-directory.js";
import { startFault } from "./start-fault.js";

/** What an attempt works with. */
export interface StartAttemptParts {
  home: HostHome;
  confinement: Confinement;
  hypervisor: Hypervisor;
  clockLead: ClockLead;
  log: Log;
}

/** What is started, and from what. */
export interface StartPlan {
  request: StartMachineRequest;
  snapshot: OpenSnapshot;
  platform: Acceleration;
  directory: MachineDirectory;
}

/**
 * One start of one machine. The way to the first command of a user leads through
 * here: whatever need not be done before the next step runs beside it.
 */
export class StartAttempt {
  readonly #parts: StartAttemptParts;
  readonly #plan: StartPlan;
  readonly #diskMb: number;
  readonly #user: GuestUser | undefined;
  #machine: HostedMachine | undefined;
  #madeDirectory = false;

  constructor(parts: StartAttemptParts, plan: StartPlan) {
    this.#parts = parts;
    this.#plan = plan;
    this.#diskMb = plan.request.diskMb || plan.snapshot.manifest.diskMb;
    this.#user = parts.confinement.users.acquire();
  }

  /** Restores the guest and has it adopted. What there is when this throws is for {@link undo}. */
  async run(deadline: Deadline): Promise<AdoptedMachine> {
    const { request, snapshot, directory } = this.#plan;
    const timings = new Timings();
    await directory.make();
    this.#madeDirectory = true;
    await Promise.all([directory.openFor(this.#user), this.#writeFiles()]);
    timings.mark("filesMs");
    const qemu = await this.#startQemu(deadline);
    timings.mark("qemuMs");
    const { channelKey } = snapshot.manifest;
    const machine = new HostedMachine(request.machineId, directory, this.#user, qemu, channelKey);
    this.#machine = machine;
    const alive: Deadline = { ...deadline, signal: anySignal(deadline.signal, qemu.ended) };
    const [record] = await Promise.all([
      this.#recordProcess(machine),
      this.#restore(machine, alive),
      directory.closeFor(this.#user),
    ]);
    timings.mark("restoreMs");
    const manifest = await this.#adopt(machine, record, alive);
    timings.mark("adoptMs");
    this.#parts.log.debug({ machineId: request.machineId, ...timings.phases }, "machine restored");
    return { machine, manifest };
  }

  /** Removes what there is, and returns the error to tell. */
  async undo(error: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    const { home, confinement } = this.#parts;
    const { request, directory } = this.#plan;
    const machine = this.#machine;
    const fault = startFault(error, {
      reason: ErrorReason.MACHINE_START_FAILED,
      what: `machine ${request.machineId} did not start`,
      home: home.path,
      ended: machine?.qemu.ended,
      consoleTail: this.#madeDirectory ? await directory.consoleTail() : "",
    });
    if (machine !== undefined) {
      await machine.release();
      await machine.qemu.process.kill();
      await confinement.cgroups.remove(request.machineId);
    }
    if (this.#madeDirectory) await removeTree(directory.path);
    confinement.users.release(this.#user);
    return signal?.aborted === true ? signal.reason : fault;
  }

  async #writeFiles(): Promise<void> {
    const { snapshot, directory } = this.#plan;
    // For people and their tools: QEMU gets what lies below as an open file.
    const path = `../../snapshots/${snapshot.manifest.diskLayers.at(-1)}/disk.qcow2`;
    const disk = emptyOverlay(this.#diskMb, { path, format: "qcow2" });
    await Promise.all([
      directory.writeDisk(FIRST_DISK, disk),
      writeFile(directory.memoryTable, snapshot.memoryTable, { mode: 0o600 }),
    ]);
  }

  async #startQemu(deadline: Deadline): Promise<RunningQemu> {
    const { hypervisor } = this.#parts;
    const { request, snapshot, platform, directory } = this.#plan;
    const { vcpus, memoryMb } = snapshot.manifest;
    await using disk = await open(directory.disk(FIRST_DISK), "r+");
    await using memoryTable = await open(directory.memoryTable, "r");
    await using console = await open(directory.console, "a", 0o600);
    return await hypervisor.start(
      {
        directory: directory.path,
        name: request.machineId,
        user: this.#user,
        command: {
          size: { vcpus, memoryMb },
          name: request.machineId,
          generationId: randomUUID(),
          layers: { memory: snapshot.layers.memory.length, disks: snapshot.layers.disks.length },
        },
        files: { ...snapshot.files, memoryTable, disk, console },
        layers: snapshot.layers,
        diskMb: this.#diskMb,
      },
      platform,
      deadline,
    );
  }

  /** Notes which process this is, so that a later server can end it or take it over. */
  async #recordProcess({ qemu, directory }: HostedMachine): Promise<MachineManifest> {
    const { request, snapshot } = this.#plan;
    const { compatibility } = snapshot.manifest;
    const identity = await identifyProcess(qemu.process.pid);
    if (identity === undefined) throw new QemuEndedError("");
    const record = create(MachineManifestSchema, {
      machineId: request.machineId,
      snapshotId: request.snapshotId,
      pid: identity.pid,
      pidStartTime: identity.startTime,
      channelKey: snapshot.manifest.channelKey,
      generation: snapshot.manifest.generation + 1n,
      startedAt: timestampNow(),
      memoryLayers: snapshot.manifest.memoryLayers,
      diskLayers: snapshot.manifest.diskLayers,
      diskFile: FIRST_DISK,
      imageDigest: snapshot.manifest.imageDigest,
      vcpus: snapshot.manifest.vcpus,
      memoryMb: snapshot.manifest.memoryMb,
      diskMb: this.#diskMb,
      ...(compatibility === undefined ? {} : { compatibility }),
    });
    await directory.writeManifest(record);
    return record;
  }

  /** Loads the devices' state. The guest runs from then on, and its agent finds us connected. */
  async #restore({ qemu, agent, directory }: HostedMachine, deadline: Deadline): Promise<void> {
    const socket: Socket = await connectUnix(directory.path, AGENT_SOCKET, deadline);
    try {
      const resumed = qemu.qmp.once("RESUME", deadline);
      await Promise.all([
        resumed,
        qemu.qmp.execute("migrate-incoming", { uri: RESTORE_URI }, deadline),
      ]);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    await agent.begin(socket, deadline);
  }

  async #adopt(
    { agent, directory }: HostedMachine,
    record: MachineManifest,
    deadline: Deadline,
  ): Promise<MachineManifest> {
    const { clockLead } = this.#parts;
    const { request, snapshot } = this.#plan;
    const { machineId, hostname, envs, cwd } = request;
    const identity = {
      machineId,
      hostname,
      envs,
      cwd,
      generation: record.generation,
      keepEnvironment: request.keepEnvironment,
      growRoot: this.#diskMb > snapshot.manifest.diskMb,
    };
    const system = systemClient(await agent.session(deadline));
    const { receipt, channelKey } = await adopt(system, identity, clockLead, deadline);
    agent.key = channelKey;
    const adopted = { ...clone(MachineManifestSchema, record), adopted: true, channelKey, receipt };
    await directory.writeManifest(adopted);
    return adopted;
  }
}
