import { readdir, stat } from "node:fs/promises";
import type { ClientHttp2Session } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { type AdoptionReceipt, type EgressPolicy, ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import {
  type HostMachine,
  HostMachineSchema,
  HostMachineState,
  type MachineManifest,
  MachineNetworkSchema,
  type StartMachineRequest,
} from "@nullspace/proto/host";
import type { Log } from "../../domain/log.js";
import { SharedTasks } from "../../domain/shared-tasks.js";
import type { Confinement } from "../confinement/confinement.js";
import { anySignal, type Deadline } from "../deadline.js";
import { hasCode, isTemporaryName, removeTree } from "../durable-files.js";
import type { HostHome } from "../home.js";
import type { MachineNetworks } from "../network/machine-networks.js";
import { ExitFeed } from "./exit-feed.js";
import { isTemplateSnapshot, type Needs, SnapshotCollector } from "../snapshot-collector.js";
import { SnapshotFlattener } from "../snapshot-flattener.js";
import type { SnapshotStore } from "../snapshot-store.js";
import type { VerifiedFiles } from "../verified-files.js";
import type { AdoptedMachine } from "./hosted-machine.js";
import { type Captured, type CaptureOptions, MachineCapture } from "./machine-capture.js";
import { MachineEgress, type NetworkNote, policyOf } from "./machine-egress.js";
import { settleCapture } from "./settle-capture.js";
import { shortenDisk } from "./shorten-disk.js";
import { MachineDirectory } from "./machine-directory.js";
import type { MachineStarter } from "./machine-starter.js";
import { Turns } from "../../domain/turns.js";
import { killStrays, takeOver } from "./takeover.js";
import { isPooled, type WarmPool } from "./warm-pool.js";

/** QEMU opens and closes a few files for it. */
const SHORTEN_MS = 30_000;

/** What the machines are held with. */
export interface HeldMachinesParts {
  home: HostHome;
  confinement: Confinement;
  starter: MachineStarter;
  pool: WarmPool;
  files: VerifiedFiles;
  snapshots: SnapshotStore;
  networks: MachineNetworks;
  log: Log;
}

/** A machine that has ended by itself, or was never finished; what it held is still there. */
interface Remains {
  state: HostMachineState.DEAD | HostMachineState.STARTING;
  manifest: MachineManifest | undefined;
}

/** A machine that runs and has confirmed it. */
export interface Started {
  receipt: AdoptionReceipt;
  fromWarmPool: boolean;
}

interface Starting {
  abort: AbortController;
  result: Promise<AdoptedMachine>;
}

/** Every machine of this host: the folders under `machines/`, and what runs in them. */
export class HeldMachines implements AsyncDisposable {
  readonly #parts: HeldMachinesParts;
  readonly #running = new Map<string, AdoptedMachine>();
  readonly #remains = new Map<string, Remains>();
  readonly #starting = new Map<string, Starting>();
  readonly #stops = new SharedTasks<void>("finish");
  readonly #exits = new ExitFeed();
  /** What changes a machine's record: captures, and notes of policies. */
  readonly #records = new Turns();
  readonly #egress: MachineEgress;
  readonly snapshots: SnapshotCollector;
  readonly #flattener: SnapshotFlattener;

  private constructor(parts: HeldMachinesParts) {
    this.#parts = parts;
    this.#egress = new MachineEgress({
      networks: parts.networks,
      running: (id) => this.#theRunning(id),
      note: (id, network) => this.#noteNetwork(id, network),
    });
    this.snapshots = new SnapshotCollector(parts.home, parts.snapshots, () => this.#needs());
    this.#flattener = new SnapshotFlattener({
      ...parts,
      collector: this.snapshots,
      onFlattened: (snapshotId) => this.#shortenDisks(snapshotId),
    });
  }

  /** Takes over what a former server left, and ends what it left half-made. */
  static async open(parts: HeldMachinesParts): Promise<HeldMachines> {
    const machines = new HeldMachines(parts);
    await machines.#inherit();
    return machines;
  }

  /**
   * Starts a machine, unless it runs already; waits for one that is being started.
   *
   * @throws see {@link MachineStarter.start}.
   */
  async start(request: StartMachineRequest, deadline: Deadline): Promise<Started> {
    const id = request.machineId;
    // What is left of a former start, or of a stop in progress, goes first.
    if (this.#remains.has(id)) await this.stop(id);
    const adopted = this.#running.get(id) ?? (await this.#start(request, deadline));
    const { receipt } = adopted.manifest;
    if (receipt === undefined) throw new Error(`machine ${id} runs without a receipt`);
    return { receipt, fromWarmPool: adopted.manifest.cgroup !== "" };
  }

  /**
   * Saves a running machine; one capture of a machine at a time. A snapshot that there is
   * already is not taken again.
   *
   * @throws Fault MACHINE_NOT_RUNNING, or see {@link MachineCapture.run}.
   */
  async capture(id: string, options: CaptureOptions, deadline: Deadline): Promise<Captured> {
    return await this.#records.run(id, () => this.#capture(id, options, deadline));
  }

  /** See {@link MachineEgress.update}. */
  async updateEgress(id: string, policy: EgressPolicy, deadline: Deadline): Promise<void> {
    await this.#egress.update(id, policy, deadline);
  }

  /** Ends a machine and removes all that it held. One that is gone already is fine. */
  async stop(id: string): Promise<void> {
    await this.#stops.run(id, () => this.#stop(id));
  }

  /** Everything that is held, live or dead. */
  async list(): Promise<HostMachine[]> {
    const running = [...this.#running.values()].map(async ({ machine, manifest }) => {
      await machine.directory.trimLogs();
      return describe(machine.id, HostMachineState.RUNNING, manifest);
    });
    const starting = [...this.#starting.keys()].map((id) =>
      describe(id, HostMachineState.STARTING, undefined),
    );
    const remains = [...this.#remains].map(async ([id, { state, manifest }]) =>
      describe(id, state, manifest, await this.#directory(id).consoleTail()),
    );
    return [...(await Promise.all([...running, ...remains])), ...starting];
  }

  /** Yields each machine that ends by itself, from now on. */
  watchExits(signal: AbortSignal): AsyncGenerator<HostMachine, void, undefined> {
    return this.#exits.watch(signal);
  }

  /** @throws Fault AGENT_UNREACHABLE when the machine does not run here, or its agent does not answer. */
  async connectAgent(id: string, deadline: Deadline): Promise<ClientHttp2Session> {
    const adopted = this.#running.get(id);
    if (adopted !== undefined) return await adopted.machine.agent.session(deadline);
    throw new Fault(ErrorReason.AGENT_UNREACHABLE, `machine ${id} does not run on this host`, {
      remedy: "Try again in a moment; if it stays so, the machine has ended.",
      details: { machine_id: id },
    });
  }

  /** Lets go of every machine; they go on. Starts in progress are undone. */
  async [Symbol.asyncDispose](): Promise<void> {
    const starting = [...this.#starting.values()];
    for (const { abort } of starting) abort.abort(new Error("the host is stopping"));
    await Promise.allSettled(starting.map(({ result }) => result));
    await this.#stops[Symbol.asyncDispose]();
    await this.#parts.pool[Symbol.asyncDispose]();
    await this.#flattener[Symbol.asyncDispose]();
    const running = [...this.#running.values()];
    this.#running.clear();
    await Promise.all(running.map(({ machine }) => machine.release()));
  }

  async #inherit(): Promise<void> {
    const { home, confinement, log } = this.#parts;
    const names = await readdir(home.machines);
    await Promise.all(
      names
        .filter((name) => !isTemporaryName(name))
        .map(async (id) => {
          const found = await takeOver(id, this.#directory(id), confinement.users, log);
          if (found.kind === "running") await this.#inheritRunning(found.adopted);
          else if (found.kind === "dead") {
            this.#remains.set(id, { state: HostMachineState.DEAD, manifest: found.manifest });
          } else {
            this.#remains.set(id, { state: HostMachineState.STARTING, manifest: undefined });
          }
        }),
    );
    const kept = [...this.#running.values()].map(({ machine }) => machine.qemu.process.pid);
    await killStrays([home.machines, home.snapshots], new Set(kept));
    await home.removeLeftovers();
    const connected = [...this.#running].flatMap(([id, { manifest }]) =>
      manifest.network === undefined ? [] : [[id, manifest.network] as const],
    );
    await this.#parts.networks.inherit(new Map(connected));
    // Nobody has been told of those that waited in a pool.
    await Promise.all([...this.#remains.keys()].filter(isPooled).map((id) => this.stop(id)));
    await this.snapshots.collect();
  }

  async #capture(id: string, options: CaptureOptions, deadline: Deadline): Promise<Captured> {
    const { snapshots } = this.#parts;
    using _ = this.snapshots.pin(options.snapshotId);
    const done = await snapshots.find(options.snapshotId);
    if (done !== undefined && !done.deleted) {
      if (options.stop) await this.stop(id);
      return { manifest: done, stoppedMs: 0 };
    }
    const adopted = this.#theRunning(id);
    const captured = await new MachineCapture(this.#parts, adopted, options).run(deadline);
    this.#flattener.consider(captured.manifest);
    if (options.stop) await this.stop(id);
    return captured;
  }

  /** Has the machines that run over what a snapshot was flattened from go on over the one layer. */
  async #shortenDisks(snapshotId: string): Promise<void> {
    for (const [id, { manifest }] of this.#running) {
      if (!manifest.diskLayers.includes(snapshotId)) continue;
      await this.#records.run(id, async () => {
        const adopted = this.#running.get(id);
        if (adopted === undefined) return;
        await shortenDisk(this.#parts.home, adopted, snapshotId, { timeoutMs: SHORTEN_MS });
      });
    }
  }

  /** @throws Fault MACHINE_NOT_RUNNING */
  #theRunning(id: string): AdoptedMachine {
    const adopted = this.#running.get(id);
    if (adopted === undefined) throw notRunning(id);
    return adopted;
  }

  async #noteNetwork(id: string, network: NetworkNote | undefined): Promise<void> {
    await this.#records.run(id, async () => {
      const adopted = this.#theRunning(id);
      const { network: _, ...record } = adopted.manifest;
      adopted.manifest =
        network === undefined
          ? record
          : { ...record, network: create(MachineNetworkSchema, network) };
      await adopted.machine.directory.writeManifest(adopted.manifest);
    });
  }

  *#needs(): Generator<Needs> {
    for (const { manifest } of this.#running.values()) yield manifest;
    yield* this.#parts.pool.needs();
    for (const { manifest } of this.#remains.values()) if (manifest !== undefined) yield manifest;
  }

  async #inheritRunning(adopted: AdoptedMachine): Promise<void> {
    const { machine, manifest } = adopted;
    const { snapshots, log } = this.#parts;
    this.#hold(adopted);
    const { pending } = manifest;
    if (pending === undefined) return;
    const snapshot = await snapshots.find(pending.snapshotId);
    const isPaused = pending.stop && snapshot !== undefined && !snapshot.deleted;
    log.info(
      { machineId: machine.id, ...pending, isPaused },
      "settling a capture that was cut off",
    );
    if (isPaused) await this.stop(machine.id);
    else await settleCapture(this.#parts, adopted, pending.snapshotId);
  }

  async #start(request: StartMachineRequest, deadline: Deadline): Promise<AdoptedMachine> {
    const id = request.machineId;
    const former = this.#starting.get(id);
    if (former !== undefined) return await former.result;
    const abort = new AbortController();
    const signal = anySignal(deadline.signal, abort.signal);
    using pin = this.snapshots.pin(request.snapshotId);
    const result = this.#make(request, pin.keep, { ...deadline, signal });
    this.#starting.set(id, { abort, result });
    try {
      const adopted = await result;
      this.#hold(adopted);
      return adopted;
    } finally {
      this.#starting.delete(id);
    }
  }

  async #make(
    request: StartMachineRequest,
    keep: (layers: Needs) => void,
    deadline: Deadline,
  ): Promise<AdoptedMachine> {
    const { pool, starter } = this.#parts;
    const pooled = await pool.take(request, keep, deadline);
    return pooled ?? (await starter.start(request, keep, deadline));
  }

  #hold(adopted: AdoptedMachine): void {
    const { machine } = adopted;
    this.#running.set(machine.id, adopted);
    const { ended } = machine.qemu;
    const die = () => void this.#died(adopted);
    if (ended.aborted) die();
    else ended.addEventListener("abort", die, { once: true });
  }

  async #died(adopted: AdoptedMachine): Promise<void> {
    const { machine, manifest } = adopted;
    // A machine that is being stopped has left the map before its process ends.
    if (this.#running.get(machine.id) !== adopted) return;
    this.#running.delete(machine.id);
    this.#remains.set(machine.id, { state: HostMachineState.DEAD, manifest });
    await machine.release();
    await this.#egress.end(machine.id);
    const tail = await machine.directory.consoleTail();
    const err: unknown = machine.qemu.ended.reason;
    this.#parts.log.warn({ machineId: machine.id, err }, "a machine died");
    this.#exits.publish(describe(machine.id, HostMachineState.DEAD, manifest, tail));
  }

  async #stop(id: string): Promise<void> {
    const { confinement } = this.#parts;
    const starting = this.#starting.get(id);
    starting?.abort.abort(new Error("the machine is being stopped"));
    await starting?.result.catch(() => undefined);
    const running = this.#running.get(id);
    const directory = this.#directory(id);
    this.#running.delete(id);
    // Until all is gone: whoever asks again goes on here.
    const manifest = running?.manifest ?? this.#remains.get(id)?.manifest;
    this.#remains.set(id, { state: HostMachineState.DEAD, manifest });
    await running?.machine.release();
    await running?.machine.qemu.process.kill();
    await this.#egress.end(id);
    const user = running?.machine.user ?? (await this.#userOf(directory));
    if (running === undefined) await killStrays([directory.path], new Set());
    await confinement.cgroups.remove(manifest?.cgroup || id);
    await removeTree(directory.path);
    confinement.users.release(user);
    const remains = this.#remains.get(id)?.manifest;
    this.#remains.delete(id);
    const layers = [...(remains?.memoryLayers ?? []), ...(remains?.diskLayers ?? [])];
    if (!layers.every(isTemplateSnapshot)) await this.snapshots.collect();
  }

  async #userOf(directory: MachineDirectory) {
    try {
      return this.#parts.confinement.users.reserve((await stat(directory.path)).gid);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  #directory(id: string): MachineDirectory {
    return new MachineDirectory(this.#parts.home.machine(id));
  }
}

function notRunning(id: string): Fault {
  return new Fault(ErrorReason.MACHINE_NOT_RUNNING, `machine ${id} does not run on this host`, {
    remedy: "Only a running machine can be saved.",
    details: { machine_id: id },
  });
}

function describe(
  machineId: string,
  state: HostMachineState,
  manifest: MachineManifest | undefined,
  consoleTail = "",
): HostMachine {
  const startedAt = manifest?.startedAt;
  return create(HostMachineSchema, {
    machineId,
    state,
    consoleTail,
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(state === HostMachineState.RUNNING && policyOf(manifest)),
  });
}
