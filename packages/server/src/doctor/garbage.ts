import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { MachineManifestSchema } from "@nullspace/proto/host";
import { HostHome } from "../host/home.js";
import { ImageStore } from "../host/image-store.js";
import { MACHINE_MANIFEST } from "../host/machines/machine-directory.js";
import { readManifest } from "../host/manifests.js";
import { type Needs, SnapshotCollector } from "../host/snapshot-collector.js";
import { SnapshotStore } from "../host/snapshot-store.js";
import { VerifiedFiles } from "../host/verified-files.js";

/** What `nullspace-server doctor --gc` finds. */
export interface Garbage {
  id: string;
  bytes: number;
}

/**
 * Snapshots under a home that no machine and no other snapshot needs, counted from what is
 * on the disk. A server removes them by itself; what is found while one runs may be in use
 * by something that has just begun.
 *
 * @param remove - whether to remove them as well.
 */
export async function findGarbage(
  path: string,
  { remove }: { remove: boolean },
): Promise<Garbage[]> {
  const home = await HostHome.open(path);
  const files = new VerifiedFiles();
  const snapshots = new SnapshotStore(home, files, new ImageStore(home, files));
  const needs = await readNeeds(home);
  const ids = await new SnapshotCollector(home, snapshots, () => needs).garbage();
  const garbage = await Promise.all(
    ids.map(async (id) => ({ id, bytes: await bytesOf(home.snapshot(id)) })),
  );
  if (remove) {
    for (const id of ids) await rm(home.snapshot(id), { recursive: true, force: true });
  }
  return garbage;
}

async function readNeeds(home: HostHome): Promise<Needs[]> {
  const names = await readdir(home.machines);
  const records = names.map(async (name) => {
    const path = join(home.machines, name, MACHINE_MANIFEST);
    return await readManifest(MachineManifestSchema, path).catch(() => undefined);
  });
  return (await Promise.all(records)).filter((record) => record !== undefined);
}

async function bytesOf(directory: string): Promise<number> {
  const names = await readdir(directory);
  const sizes = names.map(async (name) => (await stat(join(directory, name))).blocks * 512);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
