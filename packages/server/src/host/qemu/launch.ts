import { spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { GuestUser } from "../confinement/user-pool.js";
import { hasCode } from "../durable-files.js";
import { DESCRIPTOR_NAMES, type DescriptorName, DESCRIPTORS, FIRST_LAYER } from "./descriptors.js";
import { OwnProcess } from "./own-process.js";

/** QEMU's own messages, in its working directory. */
export const QEMU_LOG = "qemu.log";

/** An open file of this process. */
export interface OpenFile {
  readonly fd: number;
}

/** How QEMU is started. */
export interface LaunchOptions {
  /** The program and what comes before its arguments, as [`setpriv`, ..., `qemu-system-x86_64`]. */
  program: readonly string[];
  args: readonly string[];
  /** QEMU's working directory, where it makes its sockets and {@link QEMU_LOG} is. */
  directory: string;
  /** Open files, by what they are for. QEMU gets duplicates; the caller closes its own. */
  files: Partial<Record<DescriptorName, OpenFile>>;
  /** Layers of memory, then of the disk, each from the bottom up. */
  layers?: { readonly memory: readonly OpenFile[]; readonly disks: readonly OpenFile[] };
  /** Whom QEMU runs as; this process's own user when undefined. */
  user: GuestUser | undefined;
  environment: Readonly<Record<string, string>>;
}

/** QEMU, just started: it may not have got ready yet. */
export interface Launched {
  process: OwnProcess;
  /** Connected to its monitor; it greets when it is ready. */
  monitor: Socket;
}

/**
 * Starts QEMU in a session of its own, tied to nothing of this process: it goes
 * on when this process is killed.
 *
 * @throws Fault QEMU_MISSING
 */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { program, args, directory, files, user } = options;
  const [command = "", ...before] = program;
  await using log = await open(join(directory, QEMU_LOG), "a", 0o600);
  const stdio: StdioOptions = ["ignore", log.fd, log.fd];
  for (const name of DESCRIPTOR_NAMES) {
    stdio[DESCRIPTORS[name]] = name === "monitor" ? "pipe" : (files[name]?.fd ?? "ignore");
  }
  const { memory = [], disks = [] } = options.layers ?? {};
  [...memory, ...disks].forEach(({ fd }, index) => (stdio[FIRST_LAYER + index] = fd));
  // A gap would be a descriptor of nobody.
  for (let fd = 0; fd < stdio.length; fd++) stdio[fd] ??= "ignore";
  const child = spawn(command, [...before, ...args], {
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
    cwd: directory,
    detached: true,
    stdio,
    env: options.environment,
  });
  if (child.pid === undefined) {
    const values: unknown[] = await once(child, "error");
    throw notStarted(command, values[0]);
  }
  const monitor = child.stdio[DESCRIPTORS.monitor];
  // Node makes a socket of every further descriptor that is asked for as a pipe.
  if (!(monitor instanceof Socket)) throw new Error("QEMU has no monitor");
  return { process: new OwnProcess(child, child.pid), monitor };
}

function notStarted(command: string, cause: unknown): unknown {
  if (!hasCode(cause, "ENOENT", "EACCES")) return cause;
  return new Fault(ErrorReason.QEMU_MISSING, `cannot start ${command}: ${cause.message}`, {
    remedy: "Install QEMU: apt-get install qemu-system-x86",
    cause,
  });
}
