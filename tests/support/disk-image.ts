import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseJson, textAt } from "./json.js";
import { layersOf } from "./memory-image.js";

const run = promisify(execFile);

/** A snapshot's disk, mounted on this computer as a power cut would have left it. */
export interface MountedDisk extends AsyncDisposable {
  path: string;
}

/**
 * Puts the disk of a snapshot together, checks its file system and mounts it.
 *
 * @throws Error when anything is wrong that replaying the journal does not mend.
 */
export async function mountDisk(home: string, snapshotId: string): Promise<MountedDisk> {
  const manifest = join(home, "snapshots", snapshotId, "manifest.json");
  const { diskLayers } = await layersOf(manifest);
  const image = textAt(parseJson(await readFile(manifest, "utf8")), "imageDigest");
  const base: object = { driver: "raw", file: file(join(home, "images", image, "rootfs.ext4")) };
  const chain = diskLayers
    .map((id) => file(join(home, "snapshots", id, "disk.qcow2")))
    .reduce((backing, layer) => ({ driver: "qcow2", file: layer, backing }), base);

  const folder = await mkdtemp(join(tmpdir(), "nullspace-disk-"));
  await using opened = new AsyncDisposableStack();
  opened.defer(() => rm(folder, { recursive: true }));
  const disk = join(folder, "disk.raw");
  await run("qemu-img", ["convert", "-U", "-O", "raw", `json:${JSON.stringify(chain)}`, disk]);
  await run("e2fsck", ["-E", "journal_only", "-y", disk]).catch(unlessMended);
  await run("e2fsck", ["-f", "-n", disk]);
  const path = join(folder, "mounted");
  await mkdir(path);
  await run("mount", ["-o", "loop", disk, path]);
  opened.defer(async () => void (await run("umount", [path])));
  const owner = opened.move();
  return { path, [Symbol.asyncDispose]: () => owner.disposeAsync() };
}

/** It tells by 1 that there was something to replay. */
function unlessMended(error: unknown): void {
  if (Reflect.get(Object(error), "code") !== 1) throw error;
}

function file(filename: string) {
  return { driver: "file", filename, locking: "off" };
}
