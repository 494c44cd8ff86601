import { execFile } from "node:child_process";
import { chmod, type FileHandle, mkdir, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { type SnapshotManifest, SnapshotManifestSchema } from "@nullspace/proto/host";
import type { Log } from "../domain/log.js";
import { syncPath } from "./durable-files.js";
import type { HostHome } from "./home.js";
import { encodeMap, type LayeredRun } from "./memory/memory-map.js";
import { PAGE_BYTES, type PageRun } from "./memory/page-run.js";
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
  log: Log;
}

/**
 * Makes one layer of many, in the background and one snapshot at a time. Whoever runs over
 * the many goes on with them; whoever starts from the snapshot afterwards gets the one.
 */
export class SnapshotFlattener implements AsyncDisposable {
  readonly #parts: FlattenerParts;
  readonly #stopping = new AbortController();
  #work: Promise<void> = Promise.resolve();

  constructor(parts: FlattenerParts) {
    this.#parts = parts;
  }

  /** Flattens a snapshot some time from now, if it has many layers. */
  consider({ id, memoryLayers, diskLayers }: SnapshotManifest): void {
    if (Math.max(memoryLayers.length, diskLayers.length) <= MOST_LAYERS) return;
    this.#work = this.#work.then(() => this.#flatten(id));
  }

  /** Waits for what is being flattened, and leaves the rest as it is. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the host is stopping"));
    await this.#work;
  }

  async #flatten(id: string): Promise<void> {
    const { snapshots, collector, home, log } = this.#parts;
    const { signal } = this.#stopping;
    if (signal.aborted) return;
    const layerId = `l-${id}`;
    using _ = collector.pin(layerId);
    try {
      const layer = await this.#makeLayer(id, layerId);
      // It may have been deleted meanwhile.
      const now = await snapshots.find(id);
      if (layer === undefined || now === undefined || now.deleted) return;
      const [bottom = ""] = now.memoryLayers;
      const flat = { ...now, memoryLayers: [bottom, layerId], diskLayers: [layerId] };
      await snapshots.write(flat, { durable: true });
      log.info({ snapshotId: id, layers: now.diskLayers.length }, "snapshot flattened");
    } catch (err) {
      await rm(home.snapshot(layerId), { recursive: true, force: true });
      if (!signal.aborted) log.warn({ snapshotId: id, err }, "a snapshot could not be flattened");
    }
    await collector.collect();
  }

  /** Writes the one layer as a snapshot that nobody owns: it is there for as long as it is needed. */
  async #makeLayer(id: string, layerId: string): Promise<SnapshotManifest | undefined> {
    const { snapshots, home } = this.#parts;
    const found = await snapshots.find(id);
    if (found === undefined || found.deleted) return undefined;
    await using snapshot = await snapshots.open(id);
    const directory = home.snapshot(layerId);
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { mode: 0o711 });
    const runs = await mergePages(
      snapshot.memoryRuns,
      snapshot.layers.memory,
      join(directory, "memory.pages"),
      this.#stopping.signal,
    );
    await writeFile(join(directory, "memory.map"), encodeMap(runs));
    await this.#mergeDisks(snapshot.manifest, directory);
    const digests = await Promise.all(
      FILES.map(async (name) => {
        await chmod(join(directory, name), READ_ONLY);
        await syncPath(join(directory, name));
        return [name, await digestFile(join(directory, name))] as const;
      }),
    );
    const { imageDigest, machineId, vcpus, memoryMb, diskMb } = snapshot.manifest;
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
    return layer;
  }

  /** QEMU's own tool follows the names of what lies below in each disk; for us they are relative to the home. */
  async #mergeDisks(
    { imageDigest, diskLayers }: SnapshotManifest,
    directory: string,
  ): Promise<void> {
    const { home } = this.#parts;
    const { signal } = this.#stopping;
    const top = join(home.snapshot(diskLayers.at(-1) ?? ""), "disk.qcow2");
    const base = `../../images/${imageDigest}/rootfs.ext4`;
    const target = join(directory, "disk.qcow2");
    const args = ["convert", "-U", "-O", "qcow2", "-B", base, "-F", "raw", top, target];
    await promisify(execFile)("qemu-img", args, { cwd: directory, signal });
  }
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
