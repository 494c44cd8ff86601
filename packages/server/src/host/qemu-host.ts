import type { ClientHttp2Session } from "node:http2";
import { PassThrough } from "node:stream";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { EgressMode, EgressPolicySchema } from "@nullspace/proto";
import {
  CaptureOutcome,
  type HostService,
  type ImageManifest,
  type PrepareTemplateRequest,
  type PrepareTemplateResponseSchema,
  type SnapshotManifest,
} from "@nullspace/proto/host";
import type { Log } from "../domain/log.js";
import { SharedTasks } from "../domain/shared-tasks.js";
import { ClockLead } from "./agent/clock-lead.js";
import { Confinement } from "./confinement/confinement.js";
import type { Deadline } from "./deadline.js";
import { HostHome } from "./home.js";
import { ImageStore } from "./image-store.js";
import { memoryBytesOf, sizeOf } from "./machines/machine-capture.js";
import { HeldMachines } from "./machines/held-machines.js";
import { MachineStarter } from "./machines/machine-starter.js";
import { MachineNetworks } from "./network/machine-networks.js";
import { Hypervisor } from "./qemu/hypervisor.js";
import { WarmPool } from "./machines/warm-pool.js";
import { pooledImage, pooledSnapshot, type PoolSettings } from "./pool-settings.js";
import type { Size } from "./qemu/command-line.js";
import { isTemplateSnapshot } from "./snapshot-collector.js";
import { SnapshotStore } from "./snapshot-store.js";
import { TemplateCapture } from "./templates/template-capture.js";
import { VerifiedFiles } from "./verified-files.js";

/** How long a call may take whose caller does not say. */
const DEFAULT_DEADLINE_MS = 600_000;
/** How long a caller waits for a connection to an agent; the caller's own signal may end it earlier. */
const CONNECT_MS = 60_000;

/** How a host is set up. */
export interface QemuHostOptions {
  /** Folder of everything that it keeps. */
  home: string;
  /** QEMU: a path, or a name to look for in PATH. */
  qemu: string;
  /** Machines that wait, restored and stopped, for whoever asks for one. */
  warmPool: PoolSettings;
  /** Resolvers to ask on behalf of machines; those of the host when empty. */
  resolvers: readonly string[];
  log: Log;
}

/** This machine as a host: HostService over QEMU. Disposing leaves its machines running. */
export class QemuHost implements AsyncDisposable {
  readonly service: ServiceImpl<typeof HostService>;
  readonly #parts: HostParts;
  readonly #captures = new SharedTasks<string>("abort");

  private constructor(parts: HostParts) {
    this.#parts = parts;
    const { machines, images, snapshots, hypervisor } = parts;
    this.service = {
      getHost: () => describeHost(images, hypervisor),
      prepareTemplate: (request, context) => this.#prepareTemplate(request, context),
      startMachine: (request, context) => machines.start(request, deadlineOf(context)),
      stopMachine: async ({ machineId }) => {
        await machines.stop(machineId);
        return {};
      },
      updateEgress: async ({ machineId, egress }, context) => {
        const policy = egress ?? create(EgressPolicySchema, { mode: EgressMode.DENY_ALL });
        await machines.updateEgress(machineId, policy, deadlineOf(context));
        return {};
      },
      captureMachine: async ({ machineId, snapshotId, outcome, durable }, context) => {
        const stop = outcome === CaptureOutcome.STOP;
        const options = { snapshotId, stop, durable };
        const captured = await machines.capture(machineId, options, deadlineOf(context));
        const { manifest, stoppedMs } = captured;
        return {
          stoppedMs,
          sizeBytes: sizeOf(manifest),
          memoryBytes: memoryBytesOf(manifest),
          diskMb: manifest.diskMb,
        };
      },
      deleteSnapshot: async ({ snapshotId }) => {
        await machines.snapshots.delete(snapshotId);
        return {};
      },
      listSnapshots: async () => ({
        snapshots: (await snapshots.list()).flatMap(describeSnapshot),
      }),
      listMachines: async () => {
        // It is asked for every minute: an image may be new since.
        void this.#fillPool();
        void parts.networks.reap();
        return { machines: await machines.list() };
      },
      async *watchExits(_request, { signal }) {
        for await (const machine of machines.watchExits(signal)) yield { machine };
      },
    };
  }

  /**
   * Opens a home and takes over the machines that run in it.
   *
   * @throws Fault QEMU_MISSING, or the system's error.
   */
  static async open(options: QemuHostOptions): Promise<QemuHost> {
    const { home: path, qemu, warmPool, resolvers, log } = options;
    const home = await HostHome.open(path);
    const confinement = await Confinement.open(path, log);
    const hypervisor = await Hypervisor.open(home, confinement, log, qemu);
    const files = new VerifiedFiles();
    const images = new ImageStore(home, files);
    const snapshots = new SnapshotStore(home, files, images);
    const networks = await MachineNetworks.open({ home: path, resolvers, log });
    const parts = {
      home,
      files,
      images,
      snapshots,
      confinement,
      hypervisor,
      networks,
      log,
      clockLead: new ClockLead(),
    };
    const { path: program, version } = await hypervisor.binary();
    log.debug({ program, version }, "QEMU");
    const starter = new MachineStarter(parts);
    const pool = new WarmPool(starter, log);
    const machines = await HeldMachines.open({ ...parts, starter, pool });
    const templates = new TemplateCapture(parts);
    const host = new QemuHost({ ...parts, templates, machines, pool, warmPool });
    void host.#fillPool();
    networks.prepare();
    return host;
  }

  /** The one live HTTP/2 session to a machine's agent. */
  async connectAgent(machineId: string, signal?: AbortSignal): Promise<ClientHttp2Session> {
    return await this.#parts.machines.connectAgent(machineId, { timeoutMs: CONNECT_MS, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#captures[Symbol.asyncDispose]();
    await this.#parts.machines[Symbol.asyncDispose]();
    await this.#parts.networks[Symbol.asyncDispose]();
  }

  /** A template's snapshot for a size, captured if this host does not have it. */
  async #capture(
    imageDigest: string,
    size: Size,
    progress: (what: string) => void,
    deadline: Deadline,
  ): Promise<string> {
    const { timeoutMs } = deadline;
    const capture = (signal: AbortSignal) =>
      this.#parts.templates.prepare(imageDigest, size, progress, { timeoutMs, signal });
    const name = `${imageDigest}/${size.vcpus}/${size.memoryMb}`;
    return await this.#captures.run(name, capture, deadline.signal);
  }

  /** Tells the pool which snapshots its templates have at the moment. */
  async #fillPool(): Promise<void> {
    const { warmPool, images, pool, log } = this.#parts;
    if (warmPool.size === 0) return;
    try {
      const newestFirst = await images.list();
      const wanted = new Map<string, number>();
      for (const [entry, count] of warmPool) {
        const image = pooledImage(entry, newestFirst);
        const snapshotId = pooledSnapshot(entry) ?? (image && (await this.#captureDefault(image)));
        if (snapshotId !== undefined) wanted.set(snapshotId, count);
      }
      pool.want(wanted);
    } catch (err) {
      log.warn({ err }, "the warm pool has nothing to be filled from");
    }
  }

  async #captureDefault({ digest, defaultVcpus, defaultMemoryMb }: ImageManifest): Promise<string> {
    const size = { vcpus: defaultVcpus, memoryMb: defaultMemoryMb };
    const deadline = { timeoutMs: DEFAULT_DEADLINE_MS };
    return await this.#capture(digest, size, () => undefined, deadline);
  }

  async *#prepareTemplate(
    { imageDigest, vcpus, memoryMb }: PrepareTemplateRequest,
    context: HandlerContext,
  ): AsyncGenerator<MessageInitShape<typeof PrepareTemplateResponseSchema>> {
    const progress = new PassThrough({ objectMode: true });
    const size = { vcpus, memoryMb };
    const tell = (what: string) => void progress.write(what);
    const captured = this.#capture(imageDigest, size, tell, deadlineOf(context)).finally(() =>
      progress.end(),
    );
    // It is awaited below; until then a failure only ends the progress.
    captured.catch(() => undefined);
    for await (const what of progress) {
      yield { event: { case: "progress", value: String(what) } };
    }
    yield { event: { case: "snapshotId", value: await captured } };
  }
}

/** Those that their owner still has. */
function describeSnapshot(manifest: SnapshotManifest) {
  const { id, machineId, createdAt, diskMb, deleted } = manifest;
  if (deleted || isTemplateSnapshot(id)) return [];
  const times = createdAt === undefined ? {} : { createdAt };
  return [{ snapshotId: id, machineId, diskMb, sizeBytes: sizeOf(manifest), ...times }];
}

interface HostParts {
  images: ImageStore;
  snapshots: SnapshotStore;
  hypervisor: Hypervisor;
  templates: TemplateCapture;
  machines: HeldMachines;
  networks: MachineNetworks;
  pool: WarmPool;
  warmPool: PoolSettings;
  log: Log;
}

async function describeHost(images: ImageStore, hypervisor: Hypervisor) {
  const [list, { version }] = await Promise.all([images.list(), hypervisor.binary()]);
  const [newest] = list;
  const platform = newest === undefined ? undefined : await hypervisor.acceleration(newest);
  return {
    qemuVersion: version,
    accelerator: platform?.accelerator ?? "",
    acceleratorReason: platform?.reason ?? "Not chosen yet: there is no image to boot.",
    templates: list.map(({ name, tag, digest, defaultVcpus, defaultMemoryMb, diskMb }) => ({
      name,
      tag,
      imageDigest: digest,
      defaultVcpus,
      defaultMemoryMb,
      diskMb,
    })),
  };
}

function deadlineOf(context: HandlerContext): Deadline {
  return { timeoutMs: context.timeoutMs() ?? DEFAULT_DEADLINE_MS, signal: context.signal };
}
