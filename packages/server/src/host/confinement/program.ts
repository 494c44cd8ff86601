import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { basename, delimiter, dirname, join } from "node:path";
import { hasCode } from "../durable-files.js";
import { canLeaveHost, leavingHost } from "./leaving-host.js";
import type { GuestUser } from "./user-pool.js";

const KVM_DEVICE = "/dev/kvm";
const GROUP_READ_WRITE = 0o060;

/** Programs and groups of this host that take part in confining QEMU. */
export interface ConfinementTools {
  setpriv: string | undefined;
  /** The group that may use KVM, where it takes one. */
  kvmGroup: number | undefined;
  /** Whether this host lets QEMU leave its files and networks behind. */
  ownView: boolean;
}

/** What {@link confine} confines, and how. */
export interface Confined {
  program: string;
  /** Whom it runs as; our own user when undefined. */
  user: GuestUser | undefined;
  /** Whether it may use KVM. */
  kvm: boolean;
  /**
   * It begins with the confining library, which makes it leave the host's files and networks:
   * what it may read besides its own folders, and write in its working directory.
   */
  view?: { readable: readonly string[] } | undefined;
}

/** How to start a program with fewer rights. */
export interface ConfinedProgram {
  /** The program and what comes before its own arguments. */
  program: string[];
  /** Whom Node has to start it as. */
  user: GuestUser | undefined;
  /** What the confining library has to know. */
  environment: Readonly<Record<string, string>>;
}

/** Where distributions have programs, and what these load and read. */
const PROGRAMS = "/usr";

/** Looks for what {@link confine} needs. */
export async function findConfinementTools(): Promise<ConfinementTools> {
  const [setpriv, kvmGroup, ownView] = await Promise.all([
    findProgram("setpriv"),
    findKvmGroup(),
    canLeaveHost(),
  ]);
  return { setpriv, kvmGroup, ownView };
}

/** Puts together the command that starts a program with fewer rights. */
export async function confine(
  tools: ConfinementTools,
  confined: Confined,
): Promise<ConfinedProgram> {
  const { program, user, kvm, view } = confined;
  const { setpriv, kvmGroup, ownView } = tools;
  const group = kvm ? kvmGroup : undefined;
  if (user !== undefined && view !== undefined && ownView) {
    const readable = [PROGRAMS, await prefixOf(program), ...view.readable];
    const environment = leavingHost(user, readable, { kvm, group });
    return { program: [program], user: undefined, environment };
  }
  // Node sets no supplementary groups, and only one of them may open the device.
  if (user === undefined || group === undefined || setpriv === undefined) {
    return { program: [program], user, environment: {} };
  }
  const identity = [`--reuid=${user.uid}`, `--regid=${user.gid}`, `--groups=${group}`];
  return { program: [setpriv, ...identity, "--", program], user: undefined, environment: {} };
}

/** Where a program and what belongs to it are installed: `/opt/qemu` of `/opt/qemu/bin/qemu`. */
async function prefixOf(program: string): Promise<string> {
  const folder = dirname(await realpath(program));
  return basename(folder) === "bin" ? dirname(folder) : folder;
}

/** The first program of this name in PATH; `undefined` when there is none. */
export async function findProgram(name: string): Promise<string | undefined> {
  if (name.includes("/")) return (await isExecutable(name)) ? name : undefined;
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(directory, name);
    if (await isExecutable(path)) return path;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Never root's own group: it opens more than one device. */
async function findKvmGroup(): Promise<number | undefined> {
  try {
    const { gid, mode } = await stat(KVM_DEVICE);
    return gid !== 0 && (mode & GROUP_READ_WRITE) === GROUP_READ_WRITE ? gid : undefined;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
