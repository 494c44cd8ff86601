import { createHash, randomUUID } from "node:crypto";
import { chmod, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { create, toJson } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@nullspace/proto";
import { BOOT_CHANNEL_KEY } from "@nullspace/proto/channel";
import {
  CompatibilitySchema,
  type ImageManifest,
  SnapshotManifestSchema,
} from "@nullspace/proto/host";
import { HelperPort } from "../agent/helper-port.js";
import { systemClient } from "../agent/system-client.js";
import { compatibilityOf } from "../compatibility.js";
import type { Confinement } from "../confinement/confinement.js";
import type { GuestUser } from "../confinement/user-pool.js";
import { anySignal, callOptions, type Deadline, within } from "../deadline.js";
import { makeTemporaryDirectory, publishDirectory, removeTree } from "../durable-files.js";
import type { HostHome } from "../home.js";
import type { ImageStore } from "../image-store.js";
import { HostedMachine } from "../machines/hosted-machine.js";
import { MachineDirectory } from "../machines/machine-directory.js";
import { startFault } from "../machines/start-fault.js";
import { writeManifest } from "../manifests.js";
import type { Acceleration } from "../qemu/accelerator.js";
import { AGENT_PORT_ID, type Size } from "../qemu/command-line.js";
import { saveDevices, takeDevices } from "../qemu/device-state.js";
import type { Hypervisor } from "../qemu/hypervisor.js";
import { emptyOverlay } from "../qemu/qcow2-overlay.js";
import type { RunningQemu } from "../qemu/running-qemu.js";
import { SNAPSHOT_MANIFEST, type SnapshotStore } from "../snapshot-store.js";
import { digestFile, type VerifiedFiles } from "../verified-files.js";
import { rehearseStarts } from "./rehearse-starts.js";

const MIB = 1024 * 1024;
const FILES = ["memory", "devices", "disk.qcow2"] as const;
const READ_ONLY = 0o444;

/** What a capture works with. */
export interface TemplateCaptureParts {
  home: HostHome;
  files: VerifiedFiles;
  images: ImageStore;
  snapshots: SnapshotStore;
  confinement: Confinement;
  hypervisor: Hypervisor;
}

/** Tells people what is being done. */
export type Progress = (what: string) => void;

/** Boots templates and captures their memory, once for each size. */
export class TemplateCapture {
  readonly #parts: TemplateCaptureParts;

  constructor(parts: TemplateCaptureParts) {
    this.#parts = parts;
  }

  /**
   * The snapshot to start machines of an image and a size from; captured if this
   * host does not have it. The id tells everything that a restore depends on, so
   * after an upgrade of QEMU the template is captured again.
   *
   * @throws Fault TEMPLATE_NOT_FOUND, IMAGE_CORRUPTED, QEMU_MISSING, DISK_FULL,
   * TEMPLATE_CAPTURE_FAILED, or the reason of the signal.
   */
  async prepare(
    imageDigest: string,
    size: Size,
    progress: Progress,
    deadline: Deadline,
  ): Promise<string> {
    const { images, hypervisor, snapshots } = this.#parts;
    const image = await images.get(imageDigest);
    const { version } = await hypervisor.binary();
    const platform = await hypervisor.acceleration(image);
    const compatibility = compatibilityOf(image, platform, version);
    const inputs = [
      imageDigest,
      size.vcpus,
      size.memoryMb,
      toJson(CompatibilitySchema, compatibility),
    ];
    const digest = createHash("sha256").update(JSON.stringify(inputs)).digest("hex");
    const id = `t-${digest.slice(0, 24)}`;
    if ((await snapshots.find(id)) !== undefined) return id;
    const capture = new Capture(this.#parts, { id, image, size, platform, version });
    await capture.run(progress, deadline);
    return id;
  }
}

interface CapturePlan {
  id: string;
  image: ImageManifest;
  size: Size;
  platform: Acceleration;
  /** Of QEMU. */
  version: string;
}

/** One boot of a template, from nothing to a published snapshot. */
class Capture {
  readonly #parts: TemplateCaptureParts;
  readonly #plan: CapturePlan;

  constructor(parts: TemplateCaptureParts, plan: CapturePlan) {
    this.#parts = parts;
    this.#plan = plan;
  }

  async run(progress: Progress, deadline: Deadline): Promise<void> {
    const { home, confinement } = this.#parts;
    const { id, image } = this.#plan;
    const path = home.snapshot(id);
    const directory = new MachineDirectory(await makeTemporaryDirectory(path));
    const user = confinement.users.acquire();
    let qemu: RunningQemu | undefined;
    try {
      progress("starting a guest");
      qemu = await this.#boot(directory, user, deadline);
      const alive: Deadline = { ...deadline, signal: anySignal(deadline.signal, qemu.ended) };
      const helper = await HelperPort.open(directory.path, alive);
      const machine = new HostedMachine(id, directory, user, qemu, helper, BOOT_CHANNEL_KEY);
      progress("booting");
      await untilReady(machine, alive);
      progress("saving its memory");
      // Its host stays connected meanwhile: a restored guest then finds the channel open,
      // as it was, and nobody has to tell it.
      await saveDevices(qemu.qmp, alive);
      await takeDevices(directory.path, join(directory.path, "devices"));
      await machine.release();
      await qemu.process.kill();
      progress("checksums");
      await this.#publish(directory, path, machine.agent.key);
    } catch (error) {
      const fault = startFault(error, {
        reason: ErrorReason.TEMPLATE_CAPTURE_FAILED,
        what: `template ${image.name} could not be captured`,
        home: home.path,
        ended: qemu?.ended,
        consoleTail: await directory.consoleTail(),
      });
      throw deadline.signal?.aborted === true ? deadline.signal.reason : fault;
    } finally {
      await qemu?.process.kill();
      await confinement.cgroups.remove(id);
      confinement.users.release(user);
      await removeTree(directory.path);
    }
  }

  async #boot(
    directory: MachineDirectory,
    user: GuestUser | undefined,
    deadline: Deadline,
  ): Promise<RunningQemu> {
    const { images, hypervisor } = this.#parts;
    const { id, image, size, platform } = this.#plan;
    await directory.openFor(user);
    const rootfsPath = `../../images/${image.digest}/rootfs.ext4`;
    await directory.writeDisk(
      "disk.qcow2",
      emptyOverlay(image.diskMb, { path: rootfsPath, format: "raw" }),
    );
    // QEMU opens these two by name: it is told to only when their bytes are proved.
    for (const file of ["vmlinuz", "initrd"] as const) {
      const proved = await images.open(image, file);
      await proved.close();
    }
    await using memory = await open(join(directory.path, "memory"), "wx+", 0o600);
    await memory.truncate(size.memoryMb * MIB);
    await using disk = await open(directory.disk("disk.qcow2"), "r+");
    await using console = await open(directory.console, "a", 0o600);
    await using rootfs = await images.open(image, "rootfs.ext4");
    await using agentDisk = await images.open(image, "agent.squashfs");
    return await hypervisor.start(
      {
        directory: directory.path,
        name: id,
        user,
        command: {
          size,
          name: id,
          generationId: randomUUID(),
          boot: {
            kernel: `../../images/${image.digest}/vmlinuz`,
            initrd: `../../images/${image.digest}/initrd`,
            kernelArguments: image.kernelArguments,
          },
        },
        files: { memory, disk, console, rootfs, agentDisk },
        // The guest's memory is a file as well.
        diskMb: Math.max(image.diskMb, size.memoryMb),
      },
      platform,
      deadline,
    );
  }

  /** Makes a snapshot of the folder: its files and a manifest of them, nothing else. */
  async #publish(
    { path: directory }: MachineDirectory,
    path: string,
    channelKey: Uint8Array,
  ): Promise<void> {
    const { files } = this.#parts;
    const { id, image, size, platform, version } = this.#plan;
    for (const name of await readdir(directory)) {
      if (!isSnapshotFile(name)) await rm(join(directory, name));
    }
    const digests = Object.fromEntries(
      await Promise.all(
        FILES.map(async (name) => {
          await chmod(join(directory, name), READ_ONLY);
          return [name, await digestFile(join(directory, name))] as const;
        }),
      ),
    );
    const manifest = create(SnapshotManifestSchema, {
      format: 1,
      id,
      imageDigest: image.digest,
      ...size,
      diskMb: image.diskMb,
      compatibility: compatibilityOf(image, platform, version),
      channelKey,
      generation: 0n,
      memoryLayers: [id],
      diskLayers: [id],
      files: digests,
      createdAt: timestampNow(),
    });
    await writeManifest(SnapshotManifestSchema, join(directory, SNAPSHOT_MANIFEST), manifest, {
      mode: 0o600,
      durable: true,
    });
    await publishDirectory(directory, path);
    await Promise.all(FILES.map((name) => files.remember(join(path, name), manifest.files[name])));
  }
}

/** Lets a guest boot, and stops it when its agent has everything warm and written. */
async function untilReady(machine: HostedMachine, deadline: Deadline) {
  const { qemu, agent } = machine;
  const { qmp } = qemu;
  const opened = Promise.withResolvers<void>();
  const stopListening = qmp.on("VSERPORT_CHANGE", ({ id, open: isOpen }) => {
    if (id === AGENT_PORT_ID && isOpen) opened.resolve();
  });
  try {
    await qmp.execute("cont", {}, deadline);
    await within(opened.promise, "the agent to start", deadline);
  } finally {
    stopListening();
  }
  await rehearseStarts(machine, deadline);
  const system = systemClient(await agent.session(deadline));
  await system.prepareCapture({}, callOptions(deadline));
  await qmp.execute("stop", {}, deadline);
}

function isSnapshotFile(name: string): boolean {
  return FILES.some((one) => one === name);
}
