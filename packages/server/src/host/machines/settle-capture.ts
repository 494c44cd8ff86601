import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { SnapshotManifestSchema } from "@nullspace/proto/host";
import { hasCode } from "../durable-files.js";
import type { HostHome } from "../home.js";
import { diskNode, ROOT_DEVICE_ID } from "../qemu/command-line.js";
import type { SnapshotStore } from "../snapshot-store.js";
import { digestFile } from "../verified-files.js";
import type { AdoptedMachine } from "./hosted-machine.js";

/** What settling works with. */
export interface SettleParts {
  home: HostHome;
  snapshots: SnapshotStore;
}

/**
 * Puts a machine in order whose capture was cut off: QEMU alone knows whether it goes on
 * with the disk it was given. The machine runs afterwards, and its record is true. Doing it
 * again, or without need, changes nothing.
 */
export async function settleCapture(
  { home, snapshots }: SettleParts,
  adopted: AdoptedMachine,
  snapshotId: string,
): Promise<void> {
  const { machine } = adopted;
  const { qmp } = machine.qemu;
  const { pending } = adopted.manifest;
  const sealed = join(home.snapshot(snapshotId), "disk.qcow2");
  if (pending !== undefined) {
    const { pending: _, ...record } = adopted.manifest;
    const node = diskNode(pending.diskFile);
    const blocks = await qmp.execute("query-block", {});
    const root = blocks.find(({ device }) => device.includes(`/${ROOT_DEVICE_ID}/`));
    if (root?.node === node) {
      if (!record.diskLayers.includes(snapshotId)) {
        await rename(machine.directory.disk(record.diskFile), sealed).catch(unlessMissing);
        record.diskLayers = [...record.diskLayers, snapshotId];
      }
      record.diskFile = pending.diskFile;
      machine.overlays.set(snapshotId, node);
    } else {
      // It may not have been made yet.
      await qmp.execute("blockdev-del", { "node-name": node }).catch(() => undefined);
      await rm(machine.directory.disk(pending.diskFile), { force: true });
    }
    await machine.directory.writeManifest(record);
    adopted.manifest = record;
  }
  if (!adopted.manifest.diskLayers.includes(snapshotId)) {
    await rm(home.snapshot(snapshotId), { recursive: true, force: true });
  } else if ((await snapshots.find(snapshotId)) === undefined) {
    await keepDisk({ home, snapshots }, adopted, snapshotId);
  }
  await machine.directory.closeFor(machine.user);
  const { running } = await qmp.execute("query-status", {});
  if (!running) await qmp.execute("cont", {});
}

/** The machine's disk lies over this one, though there is no snapshot to it. */
async function keepDisk(
  { home, snapshots }: SettleParts,
  { manifest }: AdoptedMachine,
  id: string,
): Promise<void> {
  const directory = home.snapshot(id);
  for (const name of ["memory.pages", "memory.map", "devices"]) {
    await rm(join(directory, name), { force: true });
  }
  const disk = await digestFile(join(directory, "disk.qcow2"));
  const { imageDigest, machineId, vcpus, memoryMb, diskMb } = manifest;
  await snapshots.write(
    create(SnapshotManifestSchema, {
      format: 1,
      id,
      machineId,
      imageDigest,
      vcpus,
      memoryMb,
      diskMb,
      deleted: true,
      files: { "disk.qcow2": disk },
      createdAt: timestampNow(),
    }),
    { durable: false },
  );
}

/** It was moved before. */
function unlessMissing(error: unknown): void {
  if (!hasCode(error, "ENOENT")) throw error;
}
