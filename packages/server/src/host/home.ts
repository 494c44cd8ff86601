import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "@nullspace/proto/fault";
import { ErrorReason } from "@nullspace/proto";
import { removeLeftovers } from "./durable-files.js";

/** The folders that the host keeps under `$NULLSPACE_HOME`. */
export class HostHome {
  readonly images: string;
  readonly snapshots: string;
  readonly machines: string;

  private constructor(readonly path: string) {
    this.images = join(path, "images");
    this.snapshots = join(path, "snapshots");
    this.machines = join(path, "machines");
  }

  /**
   * Makes the folders where they are missing and clears away what former servers
   * left half-made.
   *
   * Others may pass through the folders but not list them: each QEMU runs as a
   * user of its own and reaches its files from its working directory.
   */
  static async open(path: string): Promise<HostHome> {
    const home = new HostHome(path);
    for (const directory of [path, home.images, home.snapshots, home.machines]) {
      await mkdir(directory, { recursive: true });
      await chmod(directory, 0o711);
    }
    return home;
  }

  /** Removes the temporary folders that former servers left. No QEMU may use them any more. */
  async removeLeftovers(): Promise<void> {
    await Promise.all([this.snapshots, this.machines].map(removeLeftovers));
  }

  /** @throws Fault INVALID_ARGUMENT when `digest` is no plain name. */
  image(digest: string): string {
    return join(this.images, plainName("image digest", digest));
  }

  /** @throws Fault INVALID_ARGUMENT when `id` is no plain name. */
  snapshot(id: string): string {
    return join(this.snapshots, plainName("snapshot id", id));
  }

  /** @throws Fault INVALID_ARGUMENT when `id` is no plain name. */
  machine(id: string): string {
    return join(this.machines, plainName("machine id", id));
  }
}

/** Ids become names of folders and options of QEMU: neither a path nor a comma may be in them. */
function plainName(kind: string, id: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$/.test(id)) return id;
  throw new Fault(ErrorReason.INVALID_ARGUMENT, `not a ${kind}: ${JSON.stringify(id)}`, {
    remedy: "Use 1 to 80 letters, digits, hyphens and underscores.",
  });
}
