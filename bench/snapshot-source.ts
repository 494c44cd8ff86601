import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type Accelerator,
  findQemu,
  HostHome,
  ImageStore,
  memoryLibrary,
  type QemuBinary,
  SnapshotStore,
  VerifiedFiles,
} from "@nullspace/server/internal";

/** What a QEMU without a server is restored from: the snapshot that the server's machines are made of. */
export class SnapshotSource {
  readonly id: string;
  readonly store: SnapshotStore;
  readonly qemu: QemuBinary;
  /** Where its QEMUs have their folders. */
  readonly folder: string;
  /** The library that gives QEMU its memory file. */
  readonly library: string;
  readonly accelerator: Accelerator;
  readonly cpuModel: string;

  private constructor(
    id: string,
    store: SnapshotStore,
    qemu: QemuBinary,
    folder: string,
    platform: { accelerator: Accelerator; cpuModel: string },
  ) {
    this.id = id;
    this.store = store;
    this.qemu = qemu;
    this.folder = folder;
    this.library = join(folder, "memory-library.so");
    this.accelerator = platform.accelerator;
    this.cpuModel = platform.cpuModel;
  }

  static async open(path: string, id: string): Promise<SnapshotSource> {
    const home = await HostHome.open(path);
    const files = new VerifiedFiles();
    const store = new SnapshotStore(home, files, new ImageStore(home, files));
    const manifest = await store.find(id);
    const { accelerator, cpuModel } = manifest?.compatibility ?? {};
    if (cpuModel === undefined) throw new Error(`there is no snapshot ${id}`);
    const folder = join(path, "bare");
    await mkdir(folder, { recursive: true });
    const platform = { accelerator: accelerator === "kvm" ? "kvm" : "tcg", cpuModel } as const;
    const qemu = await findQemu(process.env["NULLSPACE_QEMU"] ?? "qemu-system-x86_64");
    const source = new SnapshotSource(id, store, qemu, folder, platform);
    await writeFile(source.library, await memoryLibrary());
    return source;
  }
}
