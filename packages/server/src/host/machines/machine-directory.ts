import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type MachineManifest, MachineManifestSchema } from "@nullspace/proto/host";
import { readTail, trimLog } from "../bounded-log.js";
import type { GuestUser } from "../confinement/user-pool.js";
import { writeManifest } from "../manifests.js";
import { QEMU_LOG } from "../qemu/launch.js";

export const MACHINE_MANIFEST = "machine.json";
/** The disk that a machine begins with; each capture seals one and begins another. */
export const FIRST_DISK = "disk-0.qcow2";
const CONSOLE_LOG = "console.log";

const CONSOLE_TAIL_BYTES = 8 * 1024;
const GROUP_MAY_ADD = 0o1770;
const GROUP_MAY_PASS = 0o710;
const OWNER_ONLY = 0o700;

/** The folder of one machine, or of one that is being captured. */
export class MachineDirectory {
  constructor(readonly path: string) {}

  /** Makes the folder. It must not exist. */
  async make(): Promise<void> {
    await mkdir(this.path, { mode: OWNER_ONLY });
  }

  /**
   * Lets QEMU make its sockets here. The files are ours and stay ours: the sticky bit
   * keeps QEMU from renaming or removing what it does not own.
   */
  async openFor(user: GuestUser | undefined): Promise<void> {
    if (user === undefined) return;
    await chown(this.path, -1, user.gid);
    await chmod(this.path, GROUP_MAY_ADD);
  }

  /** Ends what {@link openFor} allows: QEMU has made its sockets. */
  async closeFor(user: GuestUser | undefined): Promise<void> {
    if (user !== undefined) await chmod(this.path, GROUP_MAY_PASS);
  }

  disk(file: string): string {
    return join(this.path, file);
  }

  /** Which pages of the guest's memory lie in which layer. */
  get memoryTable(): string {
    return join(this.path, "memory.table");
  }

  get console(): string {
    return join(this.path, CONSOLE_LOG);
  }

  async writeDisk(file: string, contents: Buffer): Promise<void> {
    await writeFile(this.disk(file), contents, { mode: 0o600, flag: "wx" });
  }

  /**
   * Writes the machine's record. It need not survive a power cut, which ends the
   * machine as well: only the end of this process.
   */
  async writeManifest(manifest: MachineManifest): Promise<void> {
    const path = join(this.path, MACHINE_MANIFEST);
    await writeManifest(MachineManifestSchema, path, manifest, { mode: 0o600, durable: false });
  }

  /** The end of what the guest has printed. */
  async consoleTail(): Promise<string> {
    return readTail(this.console, CONSOLE_TAIL_BYTES);
  }

  /** Cuts logs that have grown too long back to their ends. */
  async trimLogs(): Promise<void> {
    await Promise.all([trimLog(this.console), trimLog(join(this.path, QEMU_LOG))]);
  }
}
