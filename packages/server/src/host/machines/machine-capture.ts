import { chmod, chown, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { clone, create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@nullspace/proto";
import {
  type MachineManifest,
  MachineManifestSchema,
  PendingCaptureSchema,
  type SnapshotManifest,
  SnapshotManifestSchema,
} from "@nullspace/proto/host";
import type { Log } from "../../domain/log.js";
import { Timings } from "../../domain/timings.js";
import { anySignal, type Deadline } from "../deadline.js";
import { syncPath } from "../durable-files.js";
import { faultPoint } from "../fault-point.js";
import { shortenLayers } from "../flat-layers.js";
import type { HostHome } from "../home.js";
import { type CopiedPages, type PageCopy, PageCopier } from "../memory/page-copier.js";
import { diskNode, ownDisk } from "../qemu/command-line.js";
import { saveDevices, takeDevices } from "../qemu/device-state.js";
import { emptyOverlay } from "../qemu/qcow2-overlay.js";
import type { SnapshotFile, SnapshotStore } from "../snapshot-store.js";
import { digestFile, type VerifiedFiles } from "../verified-files.js";
import type { AdoptedMachine } from "./hosted-machine.js";
import { settleCapture } from "./settle-capture.js";
import { startFault } from "./start-fault.js";

const MIB = 1024 * 1024;
const READ_ONLY = 0o444;
const GROUP_WRITES = 0o660;
/** A guest that an operator has stopped does not answer at all. */
const HELPER_ANSWER_MS = 2000;
const FILES = ["memory.pages", "memory.map", "devices", "disk.qcow2"] as const;

/** What a capture works with. */
export interface CaptureParts {
  home: HostHome;
  files: VerifiedFiles;
  snapshots: SnapshotStore;
  log: Log;
}

/** What is captured, and what becomes of the machine. */
export interface CaptureOptions {
  snapshotId: string;
  /** The machine stands still from then on; whoever asked ends it. If the capture fails, it goes on. */
  stop: boolean;
  /** Whether the snapshot survives a power cut when the capture is done. */
  durable: boolean;
}

/** A snapshot, and how long its machine stood still for it in milliseconds. */
export interface Captured {
  manifest: SnapshotManifest;
  stoppedMs: number;
}

/**
 * Saves a running machine in time proportional to what it changed. While it stands still
 * only the pages it has written since the rest was copied and its devices' state are copied,
 * and its disk is sealed by an empty overlay; everything else happens before and after.
 */
export class MachineCapture {
  readonly #parts: CaptureParts;
  readonly #adopted: AdoptedMachine;
  readonly #options: CaptureOptions;
  readonly #directory: string;
  readonly #timings = new Timings();

  constructor(parts: CaptureParts, adopted: AdoptedMachine, options: CaptureOptions) {
    this.#parts = parts;
    this.#adopted = adopted;
    this.#options = options;
    this.#directory = parts.home.snapshot(options.snapshotId);
  }

  /**
   * @throws Fault CAPTURE_FAILED, DISK_FULL, or the reason of the signal: the machine goes on, unless it
   * has died, and nothing of the snapshot is left.
   */
  async run(deadline: Deadline): Promise<Captured> {
    const { machine } = this.#adopted;
    const { ended } = machine.qemu;
    const alive: Deadline = { ...deadline, signal: anySignal(deadline.signal, ended) };
    try {
      return await this.#run(alive);
    } catch (error) {
      if (!ended.aborted) await settleCapture(this.#parts, this.#adopted, this.#options.snapshotId);
      else await rm(this.#directory, { recursive: true, force: true });
      if (deadline.signal?.aborted === true) throw deadline.signal.reason;
      throw startFault(error, {
        reason: ErrorReason.CAPTURE_FAILED,
        what: `machine ${machine.id} could not be saved`,
        home: this.#parts.home.path,
        ended,
        consoleTail: "",
      });
    }
  }

  async #run(deadline: Deadline): Promise<Captured> {
    const { machine, manifest } = this.#adopted;
    const { directory, user } = machine;
    await machine.settle(deadline);
    await rm(this.#directory, { recursive: true, force: true });
    await mkdir(this.#directory, { mode: 0o711 });
    await using pages = await open(this.#file("memory.pages"), "wx", 0o600);
    await using map = await open(this.#file("memory.map"), "wx", 0o600);
    await using copier = await PageCopier.start({ ...(await this.#memory()), pages, map });
    const nextDisk = `disk-${numberOf(manifest.diskFile) + 1}.qcow2`;
    await this.#addDisk(nextDisk, deadline);
    await directory.openFor(user);
    await this.#note(nextDisk);
    faultPoint("capture-prepared");
    this.#timings.mark("prepareMs");
    const precopied = await copier.precopy(deadline);
    faultPoint("capture-precopied");
    this.#timings.mark("precopyMs");

    const { copied, stoppedMs } = await this.#standStill(deadline, async () => {
      faultPoint("capture-stopped");
      const [size] = await Promise.all([
        copier.finish(deadline),
        saveDevices(machine.qemu.qmp, deadline),
      ]);
      faultPoint("capture-copied");
      await machine.qemu.qmp.execute(
        "blockdev-snapshot",
        { node: diskNode(manifest.diskFile), overlay: diskNode(nextDisk) },
        deadline,
      );
      faultPoint("capture-sealed");
      return size;
    });
    faultPoint("capture-going-on");
    this.#timings.mark("stoppedMs");
    await copier.ended(deadline);
    await this.#takeFiles(nextDisk);
    const snapshot = await this.#publish();
    this.#timings.mark("publishMs");
    const { snapshotId } = this.#options;
    const fields = { machineId: machine.id, snapshotId, precopied, ...copied };
    this.#parts.log.debug({ ...fields, ...this.#timings.phases }, "machine captured");
    return { manifest: snapshot, stoppedMs };
  }

  async #memory(): Promise<Pick<PageCopy, "pid" | "bytes" | "inodes">> {
    const { machine, manifest } = this.#adopted;
    const inodes = manifest.memoryLayers.map(async (id, index) => {
      const name: SnapshotFile = index === 0 ? "memory" : "memory.pages";
      return (await stat(join(this.#parts.home.snapshot(id), name), { bigint: true })).ino;
    });
    const bytes = manifest.memoryMb * MIB;
    return { pid: machine.qemu.process.pid, bytes, inodes: await Promise.all(inodes) };
  }

  /** Has QEMU open the disk that the machine will go on with. */
  async #addDisk(file: string, deadline: Deadline): Promise<void> {
    const { machine, manifest } = this.#adopted;
    const { directory, user, qemu } = machine;
    const path = directory.disk(file);
    // One of a capture that failed before it was used.
    await rm(path, { force: true });
    const backing = `../../snapshots/${this.#options.snapshotId}/disk.qcow2`;
    await directory.writeDisk(
      file,
      emptyOverlay(manifest.diskMb, { path: backing, format: "qcow2" }),
    );
    if (user !== undefined) {
      await chown(path, -1, user.gid);
      await chmod(path, GROUP_WRITES);
    }
    await qemu.qmp.execute("blockdev-add", ownDisk(diskNode(file), file, null), deadline);
  }

  /** For a later server, should this one end in the middle. */
  async #note(diskFile: string): Promise<void> {
    const { snapshotId, stop } = this.#options;
    const pending = create(PendingCaptureSchema, { snapshotId, diskFile, stop });
    await this.#record({ ...clone(MachineManifestSchema, this.#adopted.manifest), pending });
  }

  async #record(manifest: MachineManifest): Promise<void> {
    await this.#adopted.machine.directory.writeManifest(manifest);
    this.#adopted.manifest = manifest;
  }

  /** Stops the guest for as long as the work takes, and longer only if all went well and it shall. */
  async #standStill(
    deadline: Deadline,
    work: () => Promise<CopiedPages>,
  ): Promise<{ copied: CopiedPages; stoppedMs: number }> {
    const { qmp } = this.#adopted.machine.qemu;
    await this.#askHelper("hold", deadline);
    const began = performance.now();
    await qmp.execute("stop", {}, deadline);
    let released: Promise<void> | undefined;
    let copied: CopiedPages | undefined;
    try {
      copied = await work();
    } finally {
      if (copied === undefined || !this.#options.stop) {
        // Before the guest goes on: it is the first thing that it finds.
        released = this.#askHelper("release", deadline);
        await qmp.execute("cont", {});
      }
    }
    const stoppedMs = performance.now() - began;
    await released;
    return { copied, stoppedMs };
  }

  /**
   * Has the guest's programs stand still, or go on. In a copy that was taken so they go on when
   * its clock and random pool are its own. A guest whose helper does not answer is captured all
   * the same: its copies fail to adopt, and nobody sees them.
   */
  async #askHelper(verb: "hold" | "release", deadline: Deadline): Promise<void> {
    const { helper, id } = this.#adopted.machine;
    try {
      await helper.request(verb, [], { ...deadline, timeoutMs: HELPER_ANSWER_MS });
    } catch (err) {
      this.#parts.log.debug({ machineId: id, verb, err }, "the guest's helper does not answer");
    }
  }

  /** Moves what the capture made to the snapshot's folder: the machine uses its next disk already. */
  async #takeFiles(nextDisk: string): Promise<void> {
    const { machine, manifest } = this.#adopted;
    const { directory, user } = machine;
    await rename(directory.disk(manifest.diskFile), this.#file("disk.qcow2"));
    const diskLayers = [...manifest.diskLayers, this.#options.snapshotId];
    await this.#record({ ...manifest, diskLayers, diskFile: nextDisk });
    machine.overlays.set(this.#options.snapshotId, diskNode(nextDisk));
    faultPoint("capture-moved");
    await takeDevices(directory.path, this.#file("devices"));
    await directory.closeFor(user);
  }

  async #publish(): Promise<SnapshotManifest> {
    const { snapshots, files } = this.#parts;
    const { snapshotId, durable } = this.#options;
    const { manifest } = this.#adopted;
    const digests = await Promise.all(
      FILES.map(async (name) => {
        await chmod(this.#file(name), READ_ONLY);
        if (durable) await syncPath(this.#file(name));
        return [name, await digestFile(this.#file(name))] as const;
      }),
    );
    faultPoint("capture-written");
    const { compatibility } = manifest;
    // What the machine runs over may have been flattened since it started.
    const { memoryLayers, diskLayers } = await shortenLayers(snapshots, manifest);
    const snapshot = create(SnapshotManifestSchema, {
      format: 1,
      id: snapshotId,
      machineId: manifest.machineId,
      imageDigest: manifest.imageDigest,
      vcpus: manifest.vcpus,
      memoryMb: manifest.memoryMb,
      diskMb: manifest.diskMb,
      ...(compatibility === undefined ? {} : { compatibility }),
      channelKey: manifest.channelKey,
      generation: manifest.generation,
      memoryLayers: [...memoryLayers, snapshotId],
      diskLayers: [...diskLayers],
      files: Object.fromEntries(digests),
      createdAt: timestampNow(),
    });
    await snapshots.write(snapshot, { durable });
    faultPoint("capture-published");
    // One that is to end keeps the note: a later server then knows that it may.
    const { pending: _, ...record } = manifest;
    if (!this.#options.stop) await this.#record(record);
    for (const [name, digest] of digests) await files.remember(this.#file(name), digest);
    return snapshot;
  }

  #file(name: SnapshotFile): string {
    return join(this.#directory, name);
  }
}

/** Disks are numbered in the order that the machine went on with them. */
function numberOf(diskFile: string): number {
  return Number(/\d+/.exec(diskFile)?.[0] ?? 0);
}

/** Bytes that a snapshot takes beside its parents. */
export function sizeOf(manifest: SnapshotManifest): bigint {
  return Object.values(manifest.files).reduce((sum, { size }) => sum + size, 0n);
}

/** Bytes of memory that a snapshot holds itself. */
export function memoryBytesOf({ files }: SnapshotManifest): bigint {
  return (files["memory.pages"] ?? files["memory"])?.size ?? 0n;
}
