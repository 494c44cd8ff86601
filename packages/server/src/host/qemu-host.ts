import type { ClientHttp2Session } from "node:http2";
import { PassThrough } from "node:stream";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  CaptureOutcome,
  type HostService,
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
import { Hypervisor } from "./qemu/hypervisor.js";
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
  log: Log;
}

/** This machine as a host: HostService over QEMU. Disposing leaves its machines running. */
export class QemuHost implements AsyncDisposable {
  readonly service: ServiceImpl<typeof HostService>;
  readonly #machines: HeldMachines;
  readonly #captures = new SharedTasks<string>("abort");

  private constructor(
    machines: HeldMachines,
    images: ImageStore,
    snapshots: SnapshotStore,
    hypervisor: Hypervisor,
    templates: TemplateCapture,
  ) {
    this.#machines = machines;
    this.service = {
      getHost: () => describeHost(images, hypervisor),
      prepareTemplate: (request, context) => this.#prepareTemplate(templates, request, context),
      startMachine: async (request, context) => ({
        receipt: await machines.start(request, deadlineOf(context)),
      }),
      stopMachine: async ({ machineId }) => {
        await machines.stop(machineId);
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
      listMachines: async () => ({ machines: await machines.list() }),
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
  static async open({ home: path, qemu, log }: QemuHostOptions): Promise<QemuHost> {
    const home = await HostHome.open(path);
    const confinement = await Confinement.open(path, log);
    const hypervisor = await Hypervisor.open(home, confinement, log, qemu);
    const files = new VerifiedFiles();
    const images = new ImageStore(home, files);
    const snapshots = new SnapshotStore(home, files, images);
    const parts = {
      home,
      files,
      images,
      snapshots,
      confinement,
      hypervisor,
      log,
      clockLead: new ClockLead(),
    };
    const { path: program, version } = await hypervisor.binary();
    log.debug({ program, version }, "QEMU");
    const starter = new MachineStarter(parts);
    const machines = await HeldMachines.open({ ...parts, starter });
    return new QemuHost(machines, images, snapshots, hypervisor, new TemplateCapture(parts));
  }

  /** The one live HTTP/2 session to a machine's agent. */
  async connectAgent(machineId: string, signal?: AbortSignal): Promise<ClientHttp2Session> {
    return await this.#machines.connectAgent(machineId, { timeoutMs: CONNECT_MS, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#captures[Symbol.asyncDispose]();
    await this.#machines[Symbol.asyncDispose]();
  }

  async *#prepareTemplate(
    templates: TemplateCapture,
    { imageDigest, vcpus, memoryMb }: PrepareTemplateRequest,
    context: HandlerContext,
  ): AsyncGenerator<MessageInitShape<typeof PrepareTemplateResponseSchema>> {
    const progress = new PassThrough({ objectMode: true });
    const name = `${imageDigest}/${vcpus}/${memoryMb}`;
    const capture = (signal: AbortSignal) =>
      templates.prepare(imageDigest, { vcpus, memoryMb }, (what) => progress.write(what), {
        timeoutMs: deadlineOf(context).timeoutMs,
        signal,
      });
    const captured = this.#captures
      .run(name, capture, context.signal)
      .finally(() => progress.end());
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
