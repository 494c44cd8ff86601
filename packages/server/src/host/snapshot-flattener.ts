import { chmod, type FileHandle, mkdir, open, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { type SnapshotManifest, SnapshotManifestSchema } from "@nullspace/proto/host";
import type { Log } from "../domain/log.js";
import { syncPath } from "./durable-files.js";
import { depthOf, flatLayerOf, type Layers, shortenLayers } from "./flat-layers.js";
import type { HostHome } from "./home.js";
import { encodeMap, type LayeredRun } from "./memory/memory-map.js";
import { PAGE_BYTES, type PageRun } from "./memory/page-run.js";
import { mergeDisks } from "./qemu/merge-disks.js";
import type { SnapshotCollector } from "./snapshot-collector.js";
import type { SnapshotStore } from "./snapshot-store.js";
import { digestFile } from "./verified-files.js";

/** A machine starts as fast from this many layers as from one. */
const MOST_LAYERS = 8;
const COPY_BYTES = 4 << 20;
const READ_ONLY = 0o444;
const FILES = ["memory.pages", "memory.map", "disk.qcow2"] as const;

/** What flattening works with. */
export interface FlattenerParts {
  home: HostHome;
  snapshots: SnapshotStore;
  collector: SnapshotCollector;
  /** Told when what a snapshot lies over has been made one layer, before others may think it unneeded. */
  onFlattened: (snapshotId: string) => Promise<void>;
  log: Log;
}

/**
 * Makes one layer of many, in the background and one snapshot at a time. Whoever runs over
 * the many goes on with them; whoever starts from the snapshot afterwards gets the one, and so
 * does what is captured of those that run.
 */
export class SnapshotFlattener implements AsyncDisposable {
  readonly #parts: FlattenerParts;
  readonly #stopping = new AbortController();
  #work: Promise<void> = Promise.resolve();

  constructor(parts: FlattenerParts) {
    this.#parts = parts;
  }

  /** Flattens a snapshot some time from now, if it has many layers. */
  consider(manifest: SnapshotManifest): void {
    if (depthOf(manifest) <= MOST_LAYERS) return;
    this.#work = this.#work.then(() => this.#flatten(manifest.id));
  }

  /** Waits for what is being flattened, and leaves the rest as it is. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the host is stopping"));
    await this.#work;
  }

  async #flatten(id: string): Promise<void> {
    const { snapshots, collector, log } = this.#parts;
    const { signal } = this.#stopping;
    if (signal.aborted) return;
    const layerId = flatLayerOf(id);
    try {
      using _ = collector.pin(id);
      using __ = collector.pin(layerId);
      const found = await snapshots.find(id);
      // Of one that is deleted others may need the disk alone.
      if (found === undefined || !(await this.#isWhole(found))) return;
      const short = await shortenLayers(snapshots, found);
      const isMany = depthOf(short) > MOST_LAYERS;
      if (isMany) await this.#makeLayer({ ...found, ...mutable(short) }, layerId);
      const [bottom = ""] = found.memoryLayers;
      const flat = isMany ? { memoryLayers: [bottom, layerId], diskLayers: [layerId] } : short;
      // It may have been deleted meanwhile; then what it was made of may still be run over.
      const now = await snapshots.find(id);
      if (now !== undefined && !now.deleted) {
        await snapshots.write({ ...now, ...mutable(flat) }, { durable: true });
      }
      log.info({ snapshotId: id, from: depthOf(found), to: depthOf(flat) }, "snapshot flattened");
      if (isMany) await this.#parts.onFlattened(id);
    } catch (err) {
      if (!signal.aborted) log.warn({ snapshotId: id, err }, "a snapshot could not be flattened");
    } finally {
      await collector.collect();
    }
  }

  async #isWhole({ id, deleted }: SnapshotManifest): Promise<boolean> {
    if (!deleted) return true;
    const names = await readdir(this.#parts.home.snapshot(id));
    return names.includes("memory.pages");
  }

  /** Writes the one layer as a snapshot that nobody owns: it is there for as long as it is needed. */
  async #makeLayer(snapshot: SnapshotManifest, layerId: string): Promise<void> {
    const directory = this.#parts.home.snapshot(layerId);
    await rm(directory, { recursive: true, force: true });
    try {
      await this.#writeLayer(snapshot, layerId, directory);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  async #writeLayer(snapshot: SnapshotManifest, layerId: string, directory: string): Promise<void> {
    const { snapshots, home } = this.#parts;
    await using opened = await snapshots.openLayers(snapshot);
    await mkdir(directory, { mode: 0o711 });
    const runs = await mergePages(
      opened.memoryRuns,
      opened.layers.memory,
      join(directory, "memory.pages"),
      this.#stopping.signal,
    );
    await writeFile(join(directory, "memory.map"), encodeMap(runs));
    await mergeDisks({
      base: join(home.image(snapshot.imageDigest), "rootfs.ext4"),
      layers: snapshot.diskLayers.map((id) => join(home.snapshot(id), "disk.qcow2")),
      target: join(directory, "disk.qcow2"),
      signal: this.#stopping.signal,
    });
    const digests = await Promise.all(
      FILES.map(async (name) => {
        await chmod(join(directory, name), READ_ONLY);
        await syncPath(join(directory, name));
        return [name, await digestFile(join(directory, name))] as const;
      }),
    );
    const { imageDigest, machineId, vcpus, memoryMb, diskMb } = snapshot;
    const layer = create(SnapshotManifestSchema, {
      format: 1,
      id: layerId,
      machineId,
      imageDigest,
      vcpus,
      memoryMb,
      diskMb,
      deleted: true,
      files: Object.fromEntries(digests),
      createdAt: timestampNow(),
    });
    await snapshots.write(layer, { durable: true });
  }
}

function mutable({ memoryLayers, diskLayers }: Layers) {
  return { memoryLayers: [...memoryLayers], diskLayers: [...diskLayers] };
}

/** Copies the pages that count into one file, in order. */
async function mergePages(
  runs: readonly LayeredRun[],
  layers: readonly FileHandle[],
  path: string,
  signal: AbortSignal,
): Promise<PageRun[]> {
  await using target = await open(path, "wx", 0o600);
  const buffer = Buffer.allocUnsafe(COPY_BYTES);
  const merged: PageRun[] = [];
  let at = 0;
  for (const { page, pages, layer, at: source } of runs) {
    signal.throwIfAborted();
    const from = layers[layer];
    if (from === undefined) throw new Error("a run of pages in a layer that is not there");
    for (let done = 0; done < pages * PAGE_BYTES;) {
      const length = Math.min(COPY_BYTES, pages * PAGE_BYTES - done);
      const { bytesRead } = await from.read(buffer, 0, length, source * PAGE_BYTES + done);
      if (bytesRead === 0) throw new Error("a layer of memory that ends early");
      await target.write(buffer, 0, bytesRead, at * PAGE_BYTES + done);
      done += bytesRead;
    }
    merged.push({ page, pages, at });
    at += pages;
  }
  return merged;
}
