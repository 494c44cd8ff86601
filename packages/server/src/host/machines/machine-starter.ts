import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { SnapshotManifest, StartMachineRequest } from "@nullspace/proto/host";
import { checkCompatible, compatibilityOf } from "../compatibility.js";
import type { Deadline } from "../deadline.js";
import type { Layers } from "../flat-layers.js";
import type { ImageStore } from "../image-store.js";
import type { Acceleration } from "../qemu/accelerator.js";
import type { OpenSnapshot, SnapshotStore } from "../snapshot-store.js";
import type { AdoptedMachine } from "./hosted-machine.js";
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
   * @param keep - told what the machine lies over.
   * @throws Fault INVALID_ARGUMENT, SNAPSHOT_NOT_FOUND, IMAGE_CORRUPTED, SNAPSHOT_INCOMPATIBLE,
   * QEMU_MISSING, DISK_FULL, ADOPTION_FAILED, MACHINE_START_FAILED, or the reason of the signal.
   */
  async start(
    request: StartMachineRequest,
    keep: (layers: Layers) => void,
    deadline: Deadline,
  ): Promise<AdoptedMachine> {
    await using snapshot = await this.#parts.snapshots.open(request.snapshotId, keep);
    checkDisk(request.diskMb, snapshot.manifest);
    const attempt = await this.#plan(request.machineId, snapshot, request.diskMb);
    try {
      await attempt.restore(snapshot, deadline, request);
      return await attempt.adopt(request, deadline);
    } catch (error) {
      throw await attempt.undo(error, deadline.signal);
    }
  }

  /**
   * Restores a guest that nobody has asked for yet, warms it up and stops it.
   *
   * @throws as {@link start}.
   */
  async startPooled(
    id: string,
    snapshotId: string,
    keep: (layers: Layers) => void,
    deadline: Deadline,
  ): Promise<StartAttempt> {
    await using snapshot = await this.#parts.snapshots.open(snapshotId, keep);
    const attempt = await this.#plan(id, snapshot, 0);
    try {
      await attempt.restore(snapshot, deadline);
      await attempt.warmAndStop(deadline);
      return attempt;
    } catch (error) {
      throw await attempt.undo(error, deadline.signal);
    }
  }

  async #plan(id: string, { manifest }: OpenSnapshot, diskMb: number): Promise<StartAttempt> {
    const platform = await this.#checkPlatform(manifest);
    const plan = { id, platform, snapshot: manifest, diskMb: diskMb || manifest.diskMb };
    return new StartAttempt(this.#parts, plan);
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
