import { create, equals, toJson } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import {
  type Compatibility,
  CompatibilitySchema,
  type ImageManifest,
  type SnapshotManifest,
} from "@nullspace/proto/host";
import { DEVICES, MACHINE_TYPE, type Platform } from "./qemu/command-line.js";

/** What a snapshot of this image that is taken on this host now could be restored with. */
export function compatibilityOf(
  image: ImageManifest,
  platform: Platform,
  qemuVersion: string,
): Compatibility {
  return create(CompatibilitySchema, {
    qemuVersion,
    accelerator: platform.accelerator,
    machineType: MACHINE_TYPE,
    cpuModel: platform.cpuModel,
    kernelRelease: image.kernelRelease,
    agentProtocol: image.agentProtocol,
    devices: [...DEVICES],
  });
}

/**
 * Refuses a snapshot that was taken with anything else than `current`, before
 * anything is started.
 *
 * @throws Fault SNAPSHOT_INCOMPATIBLE that names what differs.
 */
export function checkCompatible(snapshot: SnapshotManifest, current: Compatibility): void {
  const taken = snapshot.compatibility ?? create(CompatibilitySchema);
  if (equals(CompatibilitySchema, taken, current)) return;
  const was = JSON.stringify(toJson(CompatibilitySchema, taken));
  const is = JSON.stringify(toJson(CompatibilitySchema, current));
  throw new Fault(
    ErrorReason.SNAPSHOT_INCOMPATIBLE,
    `snapshot ${snapshot.id} was taken with another QEMU, CPU, kernel or device list`,
    {
      remedy: "Restore it on a host like the one it was taken on, or capture the template again.",
      details: { snapshot: was, host: is },
    },
  );
}
