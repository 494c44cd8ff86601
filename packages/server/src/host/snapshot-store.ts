import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type SnapshotManifest, SnapshotManifestSchema } from "@nullspace/proto/host";
import { hasCode } from "./durable-files.js";
import type { HostHome } from "./home.js";
import type { ImageStore } from "./image-store.js";
import { readManifest } from "./manifests.js";
import type { LaunchOptions } from "./qemu/launch.js";
import type { VerifiedFiles } from "./verified-files.js";

/** Files of a snapshot, beside its manifest. */
export const SNAPSHOT_FILES = ["memory", "devices", "disk.qcow2"] as const;
export type SnapshotFile = (typeof SNAPSHOT_FILES)[number];

/** A snapshot whose files are open and proved, until it is disposed of. */
export interface OpenSnapshot extends AsyncDisposable {
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
   * Reads a snapshot's manifest; `undefined` when this host does not have it.
   *
   * @throws Fault IMAGE_CORRUPTED when it cannot be read.
   */
  async find(id: string): Promise<SnapshotManifest | undefined> {
    const path = join(this.#home.snapshot(id), "manifest.json");
    try {
      return await readManifest(SnapshotManifestSchema, path);
    } catch (cause) {
      if (hasCode(cause, "ENOENT")) return undefined;
      throw corrupted(path, "cannot be read", this.#remedy(id), cause);
    }
  }

  /**
   * Opens everything that a machine is restored from.
   *
   * @throws Fault IMAGE_CORRUPTED that names the file.
   */
  async open(id: string): Promise<OpenSnapshot> {
    const directory = this.#home.snapshot(id);
    const manifest = await this.find(id);
    if (manifest === undefined) throw corrupted(directory, "is missing", this.#remedy(id));
    const image = await this.#images.get(manifest.imageDigest);
    await using opened = new AsyncDisposableStack();
    const own = async (name: SnapshotFile) => {
      const file = join(directory, name);
      return opened.use(await this.#files.open(file, manifest.files[name], this.#remedy(id)));
    };
    const files = {
      memory: await own("memory"),
      devices: await own("devices"),
      snapshotDisk: await own("disk.qcow2"),
      rootfs: opened.use(await this.#images.open(image, "rootfs.ext4")),
      agentDisk: opened.use(await this.#images.open(image, "agent.squashfs")),
    };
    const owner = opened.move();
    return { manifest, files, [Symbol.asyncDispose]: () => owner.disposeAsync() };
  }

  #remedy(id: string): string {
    return `Remove ${this.#home.snapshot(id)}: a template is captured again when it is next used.`;
  }
}

function corrupted(file: string, why: string, remedy: string, cause?: unknown): Fault {
  const details = { file };
  return new Fault(ErrorReason.IMAGE_CORRUPTED, `${file} ${why}`, { remedy, details, cause });
}
