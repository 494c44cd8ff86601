import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { ImageManifest } from "@nullspace/proto/host";
import type { Log } from "../../domain/log.js";
import type { Confinement } from "../confinement/confinement.js";
import { MAX_FILE_BYTES } from "../confinement/leaving-host.js";
import type { GuestUser } from "../confinement/user-pool.js";
import type { Deadline } from "../deadline.js";
import { replaceFile } from "../durable-files.js";
import type { HostHome } from "../home.js";
import { type Acceleration, chooseAcceleration } from "./accelerator.js";
import { type CommandLine, commandLine } from "./command-line.js";
import { launch, type LaunchOptions } from "./launch.js";
import { memoryLibrary } from "./memory-library.js";
import { findQemu, type QemuBinary } from "./qemu-binary.js";
import { RunningQemu } from "./running-qemu.js";

const MIB = 1024 * 1024;
const LIBRARY_FILE = "memory-library.so";

/** What QEMU needs besides the guest's memory, by accelerator. Emulation keeps translated code. */
const OVERHEAD_MB = { kvm: 320, tcg: 768 } as const;
/** QEMU's own thread works beside the guest's processors. */
const OWN_CPUS = 1;
/** QEMU starts at most 64 threads for disks, and one for each processor. */
const MAX_THREADS = 192;

/** One QEMU to be started. */
export interface StartOptions {
  /** Its working directory, two levels below the home. */
  directory: string;
  /** Name of its control group. */
  name: string;
  user: GuestUser | undefined;
  command: Omit<CommandLine, "platform">;
  files: LaunchOptions["files"];
  layers?: NonNullable<LaunchOptions["layers"]>;
  /** Size of its disk in MiB: no file that it writes grows far beyond. */
  diskMb: number;
}

/** The QEMU of this host: where it is, what it can do, and how it is started. */
export class Hypervisor {
  readonly #home: HostHome;
  readonly #confinement: Confinement;
  readonly #log: Log;
  readonly #qemu: string;
  #binary: Promise<QemuBinary> | undefined;
  #acceleration: Promise<Acceleration> | undefined;

  private constructor(home: HostHome, confinement: Confinement, log: Log, qemu: string) {
    this.#home = home;
    this.#confinement = confinement;
    this.#log = log;
    this.#qemu = qemu;
  }

  /** @param qemu - a path, or a name to look for in PATH. It is looked for when it is first needed. */
  static async open(
    home: HostHome,
    confinement: Confinement,
    log: Log,
    qemu: string,
  ): Promise<Hypervisor> {
    const library = join(home.path, LIBRARY_FILE);
    await replaceFile(library, await memoryLibrary(), { mode: 0o444, durable: false });
    return new Hypervisor(home, confinement, log, qemu);
  }

  /** @throws Fault QEMU_MISSING; once QEMU is installed, the next call finds it. */
  async binary(): Promise<QemuBinary> {
    this.#binary ??= findQemu(this.#qemu);
    try {
      return await this.#binary;
    } catch (error) {
      this.#binary = undefined;
      throw error;
    }
  }

  /**
   * What machines run on. Chosen once, by booting the kernel of the first image that
   * this is asked for.
   *
   * @throws Fault QEMU_MISSING
   */
  async acceleration(image: ImageManifest): Promise<Acceleration> {
    this.#acceleration ??= this.#choose(image);
    try {
      return await this.#acceleration;
    } catch (error) {
      this.#acceleration = undefined;
      throw error;
    }
  }

  /**
   * Starts QEMU and waits until it takes commands.
   *
   * @throws Fault QEMU_MISSING, QemuEndedError, DeadlineError, or the reason of the signal.
   */
  async start(options: StartOptions, platform: Acceleration, deadline: Deadline) {
    const { directory, name, user, command, files, layers, diskMb } = options;
    const { path } = await this.binary();
    const { environment, ...confined } = await this.#confinement.confine({
      program: path,
      user,
      kvm: platform.accelerator === "kvm",
      // Kernels are named by paths; all else that QEMU reads it gets as open files.
      view: { readable: command.boot === undefined ? [] : [this.#home.images] },
    });
    const { process, monitor } = await launch({
      ...confined,
      args: commandLine({ ...command, platform }),
      directory,
      files,
      ...(layers === undefined ? {} : { layers }),
      environment: {
        PATH: "/usr/bin:/bin",
        LC_ALL: "C",
        LD_PRELOAD: `../../${LIBRARY_FILE}`,
        ...environment,
        // Beside the data itself, a qcow2 file holds tables of a few MiB.
        [MAX_FILE_BYTES]: String(Math.ceil(diskMb * 1.01 + 64) * MIB),
      },
    });
    const { size } = command;
    const limits = {
      memoryBytes: (size.memoryMb + OVERHEAD_MB[platform.accelerator]) * MIB,
      cpus: size.vcpus + OWN_CPUS,
      threads: MAX_THREADS,
    };
    try {
      const [qemu] = await Promise.all([
        RunningQemu.open(process, monitor, directory, deadline),
        this.#confinement.cgroups.place(name, process.pid, limits),
      ]);
      return qemu;
    } catch (error) {
      await process.kill();
      await this.#confinement.cgroups.remove(name);
      // The program may have been removed since it was found.
      this.#binary = undefined;
      await this.binary();
      throw error;
    }
  }

  async #choose(image: ImageManifest): Promise<Acceleration> {
    const { path, version } = await this.binary();
    const user = this.#confinement.users.acquire();
    try {
      const confined = await this.#confinement.confine({
        program: path,
        user,
        kvm: true,
      });
      const directory = this.#home.image(image.digest);
      const { size, mtimeMs } = await stat(path);
      const choice = await chooseAcceleration({
        ...confined,
        directory,
        kernel: "vmlinuz",
        cacheFile: join(this.#home.path, "accelerator.json"),
        fingerprint: `${version} ${size} ${mtimeMs} ${image.kernelRelease}`,
      });
      this.#log.info({ ...choice }, "accelerator");
      return choice;
    } finally {
      this.#confinement.users.release(user);
    }
  }
}
