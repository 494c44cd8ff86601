import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { hasCode } from "../durable-files.js";
import type { GuestUser } from "./user-pool.js";

const KVM_DEVICE = "/dev/kvm";
const GROUP_READ_WRITE = 0o060;

/** Programs and groups of this host that take part in confining QEMU. */
export interface ConfinementTools {
  setpriv: string | undefined;
  /** The group that may use KVM, where it takes one. */
  kvmGroup: number | undefined;
}

/** What {@link confine} confines, and how. */
export interface Confined {
  program: string;
  /** Whom it runs as; our own user when undefined. */
  user: GuestUser | undefined;
  /** Whether it may use KVM. */
  kvm: boolean;
}

/** How to start a program with fewer rights. */
export interface ConfinedProgram {
  /** The program and what comes before its own arguments. */
  program: string[];
  /** Whom Node has to start it as. */
  user: GuestUser | undefined;
}

/** Looks for what {@link confine} needs. */
export async function findConfinementTools(): Promise<ConfinementTools> {
  const [setpriv, kvmGroup] = await Promise.all([findProgram("setpriv"), findKvmGroup()]);
  return { setpriv, kvmGroup };
}

/** Puts together the command that starts a program with fewer rights. */
export function confine(tools: ConfinementTools, confined: Confined): ConfinedProgram {
  const { program, user, kvm } = confined;
  const { setpriv, kvmGroup } = tools;
  // Node sets no supplementary groups, and only one of them may open the device.
  if (!kvm || user === undefined || kvmGroup === undefined || setpriv === undefined) {
    return { program: [program], user };
  }
  const identity = [`--reuid=${user.uid}`, `--regid=${user.gid}`, `--groups=${kvmGroup}`];
  return { program: [setpriv, ...identity, "--", program], user: undefined };
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
