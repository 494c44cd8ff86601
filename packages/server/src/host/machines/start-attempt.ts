import { randomUUID } from "node:crypto";
import { open, rename, writeFile } from "node:fs/promises";
import { clone, create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { EgressMode, ErrorReason } from "@nullspace/proto";
import {
  type MachineManifest,
  MachineManifestSchema,
  type MachineNetwork,
  type SnapshotManifest,
  type StartMachineRequest,
} from "@nullspace/proto/host";
import type { Log } from "../../domain/log.js";
import { Timings } from "../../domain/timings.js";
import { adopt, renew } from "../agent/adoption.js";
import type { ClockLead } from "../agent/clock-lead.js";
import { HelperPort } from "../agent/helper-port.js";
import { systemClient } from "../agent/system-client.js";
import type { Confinement } from "../confinement/confinement.js";
import type { GuestUser } from "../confinement/user-pool.js";
import { anySignal, callOptions, type Deadline } from "../deadline.js";
import { removeTree } from "../durable-files.js";
import { faultPoint } from "../fault-point.js";
import type { HostHome } from "../home.js";
import type { MachineNetworks } from "../network/machine-networks.js";
import { encodeTable } from "../memory/memory-map.js";
import type { Acceleration } from "../qemu/accelerator.js";
import { AGENT_SOCKET, FIRST_DISK_NODE } from "../qemu/command-line.js";
import { RESTORE_URI } from "../qemu/descriptors.js";
import type { Hypervisor } from "../qemu/hypervisor.js";
import { identifyProcess } from "../qemu/process-identity.js";
import { emptyOverlay } from "../qemu/qcow2-overlay.js";
import { QemuEndedError, type RunningQemu } from "../qemu/running-qemu.js";
import { isTemplateSnapshot } from "../snapshot-collector.js";
import type { OpenSnapshot } from "../snapshot-store.js";
import { connectUnix } from "../unix-socket.js";
import { type AdoptedMachine, HostedMachine } from "./hosted-machine.js";
import { FIRST_DISK, MachineDirectory } from "./machine-directory.js";
import { linkDown, linkUp } from "./network-link.js";
import { startFault } from "./start-fault.js";

const MIB = 1024 * 1024;

/** What an attempt works with. */
export interface StartAttemptParts {
  home: HostHome;
  confinement: Confinement;
  hypervisor: Hypervisor;
  clockLead: ClockLead;
  networks: MachineNetworks;
  log: Log;
}

/** What is started, and from what. */
export interface StartPlan {
  /** Name of the machine, or of one that has none yet. */
  id: string;
  platform: Acceleration;
  snapshot: SnapshotManifest;
  /** Root disk in MiB. */
  diskMb: number;
}

/**
 * One start of one machine, in two steps: its memory is restored, and it adopts an
 * identity. The way to the first command of a user leads through here: whatever need not
 * be done before the next step runs beside it.
 */
export class StartAttempt {
  readonly #parts: StartAttemptParts;
  readonly #plan: StartPlan;
  readonly #user: GuestUser | undefined;
  readonly #timings = new Timings();
  #directory: MachineDirectory;
  #restored: { machine: HostedMachine; record: MachineManifest } | undefined;
  #madeDirectory = false;
  #qemu: RunningQemu | undefined;
  #begun: Promise<unknown> | undefined;
  /** The network that its policy speaks of, and that the card is connected to it. */
  #taken: Promise<MachineNetwork | undefined> | undefined;
  #connected: Promise<void> | undefined;

  constructor(parts: StartAttemptParts, plan: StartPlan) {
    this.#parts = parts;
    this.#plan = plan;
    this.#directory = new MachineDirectory(parts.home.machine(plan.id));
    this.#user = parts.confinement.users.acquire();
  }

  /** What it lies over in memory and on disk. */
  get snapshot(): SnapshotManifest {
    return this.#plan.snapshot;
  }

  get diskMb(): number {
    return this.#plan.diskMb;
  }

  /** Aborted when the restored machine's process ends. */
  get ended(): AbortSignal | undefined {
    return this.#qemu?.ended;
  }

  /**
   * Restores the guest. What there is when this throws is for {@link undo}.
   *
   * @param request - whose machine it will be, if that is known: its card is then connected beside other things.
   */
  async restore(
    snapshot: OpenSnapshot,
    deadline: Deadline,
    request?: StartMachineRequest,
  ): Promise<void> {
    const { id } = this.#plan;
    if (request !== undefined) this.#take(request);
    await this.#directory.make();
    this.#madeDirectory = true;
    await Promise.all([this.#directory.openFor(this.#user), this.#writeFiles(snapshot)]);
    this.#timings.mark("filesMs");
    const qemu = await this.#startQemu(snapshot, deadline);
    this.#timings.mark("qemuMs");
    const { channelKey } = snapshot.manifest;
    this.#qemu = qemu;
    const { path } = this.#directory;
    // Both ports are connected before the guest runs: it was captured so, and nobody has to tell it.
    const helper = await HelperPort.open(path, deadline);
    const socket = await connectUnix(path, AGENT_SOCKET, deadline);
    // Nobody reads it before the guest runs; a QEMU that ends meanwhile is told of by others.
    socket.on("error", () => socket.destroy());
    const machine = new HostedMachine(id, this.#directory, this.#user, qemu, helper, channelKey);
    const record = this.#newRecord();
    this.#restored = { machine, record };
    faultPoint("start-launched");
    const alive: Deadline = { ...deadline, signal: anySignal(deadline.signal, qemu.ended) };
    const recorded = this.#recordProcess(machine, record);
    if (request !== undefined) this.#connect(recorded, alive);
    try {
      await Promise.all([
        recorded,
        loadDevices(machine, alive),
        this.#directory.closeFor(this.#user),
      ]);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    this.#timings.mark("restoreMs");
    faultPoint("start-restored");
    this.#begun = machine.agent.begin(socket, alive);
    // Whoever adopts the guest waits for it, beside other things.
    this.#begun.catch(() => undefined);
  }

  /** Runs a restored guest's code until it is warm, and stops it there. */
  async warmAndStop(deadline: Deadline): Promise<void> {
    const { machine, record } = this.#theRestored();
    const { helper, agent, qemu } = machine;
    const alive: Deadline = { ...deadline, signal: anySignal(deadline.signal, qemu.ended) };
    await renew({ helper, lead: this.#parts.clockLead }, alive);
    const system = systemClient(await agent.session(alive));
    await system.prepareCapture({}, callOptions(alive));
    record.pooled = true;
    await this.#directory.writeManifest(record);
    agent.keepAlive(false);
    // Whoever wakes it renews it again.
    await helper.request("hold", [], alive);
    await qemu.qmp.execute("stop", {}, alive);
  }

  /** Gives a guest that {@link warmAndStop} stopped its machine's name, and lets it go on. */
  async wake(id: string, deadline: Deadline): Promise<void> {
    const { machine, record } = this.#theRestored();
    const directory = new MachineDirectory(this.#parts.home.machine(id));
    await rename(this.#directory.path, directory.path);
    this.#directory = directory;
    machine.rename(id, directory);
    record.cgroup ||= record.machineId;
    record.machineId = id;
    record.pooled = false;
    machine.agent.keepAlive(true);
    await Promise.all([
      directory.writeManifest(record),
      machine.qemu.qmp.execute("cont", {}, deadline),
    ]);
  }

  /** Makes the guest the machine that is asked for. */
  async adopt(request: StartMachineRequest, deadline: Deadline): Promise<AdoptedMachine> {
    const { clockLead, log } = this.#parts;
    const { machine, record } = this.#theRestored();
    const alive: Deadline = { ...deadline, signal: anySignal(deadline.signal, machine.qemu.ended) };
    const { machineId, hostname, envs, cwd, keepEnvironment } = request;
    // One that waited in a pool was nobody's until now.
    if (this.#connected === undefined) {
      this.#take(request);
      this.#connect(this.#noteNetwork(record), alive);
    }
    const { generation } = record;
    const rootDiskBytes = await this.#growDisk(alive);
    const identity = {
      machineId,
      hostname,
      envs,
      cwd,
      keepEnvironment,
      generation,
      rootDiskBytes,
    };
    const { helper, agent } = machine;
    const adopter = { helper, nonce: agent.nonce, lead: clockLead };
    const [{ receipt, channelKey }] = await Promise.all([
      adopt(adopter, identity, alive),
      this.#begun,
      this.#connected?.then(() => this.#link(alive)),
    ]);
    agent.key = channelKey;
    const manifest = {
      ...clone(MachineManifestSchema, record),
      adopted: true,
      channelKey,
      receipt,
    };
    await this.#directory.writeManifest(manifest);
    this.#timings.mark("adoptMs");
    if (record.network === undefined) this.#unlink(machine);
    faultPoint("start-adopted");
    log.debug({ machineId, ...this.#timings.phases }, "machine started");
    return { machine, manifest };
  }

  /** Tells the guest of a disk that is larger than the one it was captured with, in bytes; of others nothing. */
  async #growDisk(deadline: Deadline): Promise<bigint> {
    const { diskMb, snapshot } = this.#plan;
    if (diskMb <= snapshot.diskMb) return 0n;
    const size = diskMb * MIB;
    const { qemu } = this.#theRestored().machine;
    // It has this size already: what the guest lacks is the word of it.
    await qemu.qmp.execute("block_resize", { "node-name": FIRST_DISK_NODE, size }, deadline);
    return BigInt(size);
  }

  /** Removes what there is, and returns the error to tell. */
  async undo(error: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    const { home, confinement } = this.#parts;
    const restored = this.#restored;
    const id = restored?.record.machineId ?? this.#plan.id;
    const fault = startFault(error, {
      reason: ErrorReason.MACHINE_START_FAILED,
      what: `machine ${id} did not start`,
      home: home.path,
      ended: this.ended,
      consoleTail: this.#madeDirectory ? await this.#directory.consoleTail() : "",
    });
    await restored?.machine.release();
    await this.#taken?.catch(() => undefined);
    await this.#connected?.catch(() => undefined);
    await this.#parts.networks.disconnect(id);
    if (this.#qemu !== undefined) {
      await this.#qemu.process.kill();
      await confinement.cgroups.remove(restored?.record.cgroup || id);
    }
    if (this.#madeDirectory) await removeTree(this.#directory.path);
    confinement.users.release(this.#user);
    return signal?.aborted === true ? signal.reason : fault;
  }

  /** Gives the machine the network that its policy speaks of, if it speaks of one. */
  #take({ egress, machineId, networkOptional }: StartMachineRequest): void {
    const { networks } = this.#parts;
    const isWanted =
      egress !== undefined &&
      egress.mode !== EgressMode.DENY_ALL &&
      (!networkOptional || networks.problem === undefined);
    this.#taken = isWanted ? networks.take(machineId, egress) : Promise.resolve(undefined);
    this.#taken.catch(() => undefined);
  }

  /**
   * Connects the card to the network as soon as a later server would know of both. Whoever adopts
   * the guest waits for it: before the first command of a user can run.
   */
  #connect(noted: Promise<void>, deadline: Deadline): void {
    const connect = async () => {
      await noted;
      const { machine, record } = this.#theRestored();
      if (record.network === undefined) return;
      faultPoint("start-network-noted");
      const card = { pid: machine.qemu.process.pid, directory: this.#directory.path };
      await this.#parts.networks.attach(record.machineId, card, deadline);
    };
    this.#connected = connect();
    this.#connected.catch(() => undefined);
  }

  async #noteNetwork(record: MachineManifest): Promise<void> {
    const network = await this.#taken;
    if (network === undefined) return;
    record.network = network;
    await this.#directory.writeManifest(record);
  }

  /** Has the guest see a link, if it may have been captured without one. */
  async #link(deadline: Deadline): Promise<void> {
    const { machine, record } = this.#theRestored();
    // A template's card has one: to take it up would cost the guest more than all the rest.
    if (record.network === undefined || isTemplateSnapshot(this.#plan.snapshot.id)) return;
    await linkUp(machine, deadline);
  }

  /**
   * Tells the guest that it has no network: its programs then hear so at once. Its card leads
   * nowhere as it is, so nobody waits for that.
   */
  #unlink(machine: HostedMachine): void {
    linkDown(machine).catch((err: unknown) => {
      this.#parts.log.debug(
        { machineId: machine.id, err },
        "a machine without a network has a link",
      );
    });
  }

  #theRestored() {
    if (this.#restored === undefined) throw new Error("a start that has not restored its guest");
    return this.#restored;
  }

  async #writeFiles({ manifest, memoryRuns }: OpenSnapshot): Promise<void> {
    // For people and their tools: QEMU gets what lies below as an open file.
    const path = `../../snapshots/${manifest.diskLayers.at(-1)}/disk.qcow2`;
    const disk = emptyOverlay(this.#plan.diskMb, { path, format: "qcow2" });
    await Promise.all([
      this.#directory.writeDisk(FIRST_DISK, disk),
      writeFile(this.#directory.memoryTable, encodeTable(memoryRuns), { mode: 0o600 }),
    ]);
  }

  async #startQemu(snapshot: OpenSnapshot, deadline: Deadline): Promise<RunningQemu> {
    const { id, platform, diskMb } = this.#plan;
    const directory = this.#directory;
    const { vcpus, memoryMb } = snapshot.manifest;
    const { memory, disks } = snapshot.layers;
    await using disk = await open(directory.disk(FIRST_DISK), "r+");
    await using memoryTable = await open(directory.memoryTable, "r");
    await using console = await open(directory.console, "a", 0o600);
    return await this.#parts.hypervisor.start(
      {
        directory: directory.path,
        name: id,
        user: this.#user,
        command: {
          size: { vcpus, memoryMb },
          name: id,
          generationId: randomUUID(),
          layers: { memory: memory.length, disks: disks.length },
        },
        files: { ...snapshot.files, memoryTable, disk, console },
        layers: snapshot.layers,
        diskMb,
      },
      platform,
      deadline,
    );
  }

  #newRecord(): MachineManifest {
    const { id, snapshot, diskMb } = this.#plan;
    const { imageDigest, vcpus, memoryMb, memoryLayers, diskLayers, compatibility } = snapshot;
    return create(MachineManifestSchema, {
      machineId: id,
      snapshotId: snapshot.id,
      channelKey: snapshot.channelKey,
      generation: snapshot.generation + 1n,
      memoryLayers,
      diskLayers,
      diskFile: FIRST_DISK,
      imageDigest,
      vcpus,
      memoryMb,
      diskMb,
      ...(compatibility === undefined ? {} : { compatibility }),
    });
  }

  /** Notes which process this is and its network, so that a later server can end it or take it over. */
  async #recordProcess({ qemu, directory }: HostedMachine, record: MachineManifest): Promise<void> {
    const [identity, network] = await Promise.all([identifyProcess(qemu.process.pid), this.#taken]);
    if (identity === undefined) throw new QemuEndedError("");
    record.pid = identity.pid;
    record.pidStartTime = identity.startTime;
    record.startedAt = timestampNow();
    if (network !== undefined) record.network = network;
    await directory.writeManifest(record);
  }
}

/** Loads the devices' state. The guest runs from then on. */
async function loadDevices({ qemu }: HostedMachine, deadline: Deadline): Promise<void> {
  const resumed = qemu.qmp.once("RESUME", deadline);
  const load = qemu.qmp.execute("migrate-incoming", { uri: RESTORE_URI }, deadline);
  await Promise.all([resumed, load]);
}
