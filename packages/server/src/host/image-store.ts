import { readdir } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type ImageManifest, ImageManifestSchema } from "@nullspace/proto/host";
import { hasCode, isTemporaryName } from "./durable-files.js";
import type { HostHome } from "./home.js";
import { readManifest } from "./manifests.js";
import type { VerifiedFiles } from "./verified-files.js";

/** Files of an image, beside its manifest. */
export type ImageFile = "vmlinuz" | "initrd" | "rootfs.ext4" | "agent.squashfs";

/** The images that this host has, as their builder put them there. */
export class ImageStore {
  readonly #home: HostHome;
  readonly #files: VerifiedFiles;

  constructor(home: HostHome, files: VerifiedFiles) {
    this.#home = home;
    this.#files = files;
  }

  /** All images, newest first. */
  async list(): Promise<ImageManifest[]> {
    const names = await readdir(this.#home.images);
    const digests = names.filter((name) => !isTemporaryName(name));
    const images = await Promise.all(digests.map((digest) => this.#read(digest)));
    return images
      .filter((image) => image !== undefined)
      .toSorted((a, b) => Number((b.createdAt?.seconds ?? 0n) - (a.createdAt?.seconds ?? 0n)));
  }

  /** @throws Fault TEMPLATE_NOT_FOUND when this host does not have the image. */
  async get(digest: string): Promise<ImageManifest> {
    const image = await this.#read(digest);
    if (image !== undefined) return image;
    throw new Fault(ErrorReason.TEMPLATE_NOT_FOUND, `this host has no image ${digest}`, {
      remedy: "Build the template's image on this host.",
    });
  }

  /**
   * Opens a file of an image for reading, its bytes proved. The caller closes it.
   *
   * @throws Fault IMAGE_CORRUPTED
   */
  async open(image: ImageManifest, file: ImageFile): Promise<FileHandle> {
    const directory = this.#home.image(image.digest);
    const remedy = `Remove ${directory} and build the image again.`;
    return this.#files.open(join(directory, file), image.files[file], remedy);
  }

  async #read(digest: string): Promise<ImageManifest | undefined> {
    const directory = this.#home.image(digest);
    const path = join(directory, "manifest.json");
    try {
      return await readManifest(ImageManifestSchema, path);
    } catch (cause) {
      if (hasCode(cause, "ENOENT", "ENOTDIR")) return undefined;
      throw new Fault(ErrorReason.IMAGE_CORRUPTED, `${path} cannot be read`, {
        remedy: `Remove ${directory} and build the image again.`,
        details: { file: path },
        cause,
      });
    }
  }
}
