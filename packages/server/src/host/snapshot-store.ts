import type { FileHandle } from "node:fs/promises";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type SnapshotManifest, SnapshotManifestSchema } from "@nullspace/proto/host";
import { hasCode, isTemporaryName } from "./durable-files.js";
import type { Layers } from "./flat-layers.js";
import type { HostHome } from "./home.js";
import type { ImageStore } from "./image-store.js";
import { readManifest, writeManifest } from "./manifests.js";
import { decodeMap, type LayeredRun, overlay } from "./memory/memory-map.js";
import type { LaunchOptions } from "./qemu/launch.js";
import type { VerifiedFiles } from "./verified-files.js";

export const SNAPSHOT_MANIFEST = "manifest.json";

const MIB = 1024 * 1024;

/**
 * Files of a snapshot, beside its manifest. A template has its `memory` whole; any other
 * has the pages that its machine wrote, and a map that says which they are.
 */
export type SnapshotFile = "memory" | "memory.pages" | "memory.map" | "devices" | "disk.qcow2";

/** Layers whose files are open and proved, until they are disposed of. */
export interface OpenLayers extends AsyncDisposable {
  /** The memory image at the bottom. */
  readonly image: FileHandle;
  readonly layers: {
    readonly memory: readonly FileHandle[];
    readonly disks: readonly FileHandle[];
  };
  /** Which pages lie in which layer of memory; none for a template. */
  readonly memoryRuns: readonly LayeredRun[];
}

/** A snapshot whose files are open and proved, until it is disposed of. */
export interface OpenSnapshot extends Omit<OpenLayers, "image"> {
  readonly manifest: SnapshotManifest;
  /** What QEMU needs of it. */
  readonly files: LaunchOptions["files"];
}

/** The snapshots that this host has. */
export class SnapshotStore {
  readonly #home: HostHome;
  readonly #files: VerifiedFiles;
  readonly #images: ImageStore;

  constructor(home: HostHome, files: VerifiedFiles, images: ImageStore) {
    this.#home = home;
    this.#files = files;
    this.#images = images;
  }

  /**
   * Reads a snapshot's manifest, also of one that is deleted and still needed;
   * `undefined` when this host does not have it.
   *
   * @throws Fault IMAGE_CORRUPTED when it cannot be read.
   */
  async find(id: string): Promise<SnapshotManifest | undefined> {
    const path = join(this.#home.snapshot(id), SNAPSHOT_MANIFEST);
    try {
      return await readManifest(SnapshotManifestSchema, path);
    } catch (cause) {
      if (hasCode(cause, "ENOENT")) return undefined;
      throw corrupted(path, "cannot be read", this.#remedy(id), cause);
    }
  }

  /** Every snapshot that has a manifest, deleted ones that are still needed included. */
  async list(): Promise<SnapshotManifest[]> {
    const names = await readdir(this.#home.snapshots);
    const found = names.filter((name) => !isTemporaryName(name)).map((name) => this.find(name));
    return (await Promise.all(found)).filter((manifest) => manifest !== undefined);
  }

  /** Writes a snapshot's manifest: from then on it exists. Its files are on the disk already if that is durable. */
  async write(manifest: SnapshotManifest, { durable }: { durable: boolean }): Promise<void> {
    const path = join(this.#home.snapshot(manifest.id), SNAPSHOT_MANIFEST);
    await writeManifest(SnapshotManifestSchema, path, manifest, { mode: 0o600, durable });
  }

  /**
   * Opens everything that a machine is restored from.
   *
   * @param keep - told what the snapshot lies over before any of it is opened, to see to it that it stays.
   * @throws Fault SNAPSHOT_NOT_FOUND, or IMAGE_CORRUPTED that names the file.
   */
  async open(id: string, keep: (layers: Layers) => void): Promise<OpenSnapshot> {
    const manifest = await this.find(id);
    if (manifest === undefined || manifest.deleted) throw snapshotNotFound(id);
    keep(manifest);
    const image = await this.#images.get(manifest.imageDigest);
    await using opened = new AsyncDisposableStack();
    const { image: memory, layers, memoryRuns } = opened.use(await this.openLayers(manifest));
    const files = {
      memory,
      devices: opened.use(await this.#open(manifest, "devices")),
      rootfs: opened.use(await this.#images.open(image, "rootfs.ext4")),
      agentDisk: opened.use(await this.#images.open(image, "agent.squashfs")),
    };
    const owner = opened.move();
    const close = () => owner.disposeAsync();
    return { manifest, files, layers, memoryRuns, [Symbol.asyncDispose]: close };
  }

  /**
   * Opens what a snapshot lies over, itself included, also when it is deleted.
   *
   * @throws Fault IMAGE_CORRUPTED that names the file.
   */
  async openLayers(manifest: SnapshotManifest): Promise<OpenLayers> {
    await using opened = new AsyncDisposableStack();
    const own = async (layer: SnapshotManifest, file: SnapshotFile) =>
      opened.use(await this.#open(layer, file));
    const [bottom = manifest, ...above] = await this.#layers(manifest, manifest.memoryLayers);
    const maps = await Promise.all(above.map((layer) => this.#readMap(layer, manifest.memoryMb)));
    const image = await own(bottom, "memory");
    const memory = [];
    for (const layer of above) memory.push(await own(layer, "memory.pages"));
    const disks = [];
    for (const layer of await this.#layers(manifest, manifest.diskLayers)) {
      disks.push(await own(layer, "disk.qcow2"));
    }
    const owner = opened.move();
    const close = () => owner.disposeAsync();
    return {
      image,
      layers: { memory, disks },
      memoryRuns: overlay(maps),
      [Symbol.asyncDispose]: close,
    };
  }

  async #layers(manifest: SnapshotManifest, ids: readonly string[]): Promise<SnapshotManifest[]> {
    // Those of a template that was captured before there were layers.
    const all = ids.length === 0 ? [manifest.id] : ids;
    return await Promise.all(
      all.map(async (id) => {
        const layer = id === manifest.id ? manifest : await this.find(id);
        if (layer !== undefined) return layer;
        throw corrupted(this.#home.snapshot(id), "is missing", this.#remedy(manifest.id));
      }),
    );
  }

  async #readMap(layer: SnapshotManifest, memoryMb: number) {
    const pages = Number(layer.files["memory.pages"]?.size ?? 0n);
    await using file = await this.#open(layer, "memory.map");
    return decodeMap(await file.readFile(), memoryMb * MIB, pages);
  }

  async #open({ id, files }: SnapshotManifest, name: SnapshotFile): Promise<FileHandle> {
    const path = join(this.#home.snapshot(id), name);
    return await this.#files.open(path, files[name], this.#remedy(id));
  }

  #remedy(id: string): string {
    return id.startsWith("t-")
      ? `Remove ${this.#home.snapshot(id)}: a template is captured again when it is next used.`
      : `Delete the snapshot, and those made of it; its bytes cannot be mended.`;
  }
}

function snapshotNotFound(id: string): Fault {
  return new Fault(ErrorReason.SNAPSHOT_NOT_FOUND, `this host has no snapshot ${id}`, {
    remedy: "List the snapshots there are.",
    details: { snapshot_id: id },
  });
}

function corrupted(file: string, why: string, remedy: string, cause?: unknown): Fault {
  const details = { file };
  return new Fault(ErrorReason.IMAGE_CORRUPTED, `${file} ${why}`, { remedy, details, cause });
}
