import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { SnapshotManifest, StartMachineRequest } from "@nullspace/proto/host";
import { checkCompatible, compatibilityOf } from "../compatibility.js";
import type { Deadline } from "../deadline.js";
import type { SnapshotStore } from "../snapshot-store.js";
import type { ImageStore } from "../image-store.js";
import type { Acceleration } from "../qemu/accelerator.js";
import type { AdoptedMachine } from "./hosted-machine.js";
import { MachineDirectory } from "./machine-directory.js";
import { StartAttempt, type StartAttemptParts } from "./start-attempt.js";

/** What a start works with. */
export interface StarterParts extends StartAttemptParts {
  images: ImageStore;
  snapshots: SnapshotStore;
}

/** Restores machines from snapshots. */
export class MachineStarter {
  readonly #parts: StarterParts;

  constructor(parts: StarterParts) {
    this.#parts = parts;
  }

  /**
   * Starts a machine and has it adopt its new identity. When this throws, nothing of
   * the machine is left.
   *
   * @throws Fault INVALID_ARGUMENT, IMAGE_CORRUPTED, SNAPSHOT_INCOMPATIBLE, QEMU_MISSING,
   * DISK_FULL, ADOPTION_FAILED, MACHINE_START_FAILED, or the reason of the signal.
   */
  async start(request: StartMachineRequest, deadline: Deadline): Promise<AdoptedMachine> {
    const { home, snapshots } = this.#parts;
    const directory = new MachineDirectory(home.machine(request.machineId));
    await using snapshot = await snapshots.open(request.snapshotId);
    const { manifest } = snapshot;
    checkDisk(request.diskMb, manifest);
    const platform = await this.#checkPlatform(manifest);
    const attempt = new StartAttempt(this.#parts, { request, snapshot, platform, directory });
    try {
      return await attempt.run(deadline);
    } catch (error) {
      throw await attempt.undo(error, deadline.signal);
    }
  }

  async #checkPlatform(manifest: SnapshotManifest): Promise<Acceleration> {
    const { images, hypervisor } = this.#parts;
    const image = await images.get(manifest.imageDigest);
    const { version } = await hypervisor.binary();
    const platform = await hypervisor.acceleration(image);
    checkCompatible(manifest, compatibilityOf(image, platform, version));
    return platform;
  }
}

/** A file system grows while it is in use, and cannot shrink. */
function checkDisk(diskMb: number, manifest: SnapshotManifest): void {
  if (diskMb === 0 || diskMb >= manifest.diskMb) return;
  const what = `disk_mb is ${diskMb}, less than the snapshot's own ${manifest.diskMb}`;
  throw new Fault(ErrorReason.INVALID_ARGUMENT, what, {
    remedy: `Ask for at least ${manifest.diskMb} MiB, or leave it out.`,
    details: { field: "disk_mb" },
  });
}
