import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { type MachineManifest, MachineManifestSchema } from "@nullspace/proto/host";
import type { Log } from "../../domain/log.js";
import { HelperPort } from "../agent/helper-port.js";
import type { UserPool } from "../confinement/user-pool.js";
import { hasCode } from "../durable-files.js";
import { readManifest } from "../manifests.js";
import { MONITOR_SOCKET } from "../qemu/command-line.js";
import { InheritedProcess, killProcess } from "../qemu/inherited-process.js";
import { identifyProcess, isAlive, type ProcessIdentity } from "../qemu/process-identity.js";
import { QmpClient } from "../qemu/qmp/qmp-client.js";
import { RunningQemu } from "../qemu/running-qemu.js";
import { connectUnix } from "../unix-socket.js";
import { type AdoptedMachine, HostedMachine } from "./hosted-machine.js";
import { MACHINE_MANIFEST, type MachineDirectory } from "./machine-directory.js";

/** A QEMU that is well answers its monitor at once, also on a busy host. */
const ANSWER_MS = 10_000;

/** What a former server left in a machine's folder. */
export type Inheritance =
  | { kind: "running"; adopted: AdoptedMachine }
  /** Its process has ended, or does not answer and was ended. */
  | { kind: "dead"; manifest: MachineManifest }
  /** It was never adopted: nobody has been told that it is there. */
  | { kind: "unfinished" };

/** Looks what a former server left of a machine, and takes it over if it runs. */
export async function takeOver(
  id: string,
  directory: MachineDirectory,
  users: UserPool,
  log: Log,
): Promise<Inheritance> {
  const manifest = await readRecord(directory);
  if (manifest?.adopted !== true) return { kind: "unfinished" };
  const identity = { pid: manifest.pid, startTime: manifest.pidStartTime };
  if (!(await isAlive(identity))) return { kind: "dead", manifest };
  try {
    const qemu = await connectTo(identity, directory.path);
    const user = users.reserve((await stat(directory.path)).gid);
    const helper = await HelperPort.open(directory.path, { timeoutMs: ANSWER_MS });
    const machine = new HostedMachine(id, directory, user, qemu, helper, manifest.channelKey);
    return { kind: "running", adopted: { machine, manifest } };
  } catch (err) {
    log.error({ machineId: id, err }, "a machine does not answer and is ended");
    await killProcess(identity);
    return { kind: "dead", manifest };
  }
}

async function readRecord({ path }: MachineDirectory): Promise<MachineManifest | undefined> {
  try {
    return await readManifest(MachineManifestSchema, join(path, MACHINE_MANIFEST));
  } catch (error) {
    // A record is written whole: one that cannot be read is not ours, and neither is the machine.
    if (error instanceof SyntaxError || hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

async function connectTo(identity: ProcessIdentity, directory: string): Promise<RunningQemu> {
  const deadline = { timeoutMs: ANSWER_MS };
  const monitor = await connectUnix(directory, MONITOR_SOCKET, deadline);
  const qmp = await QmpClient.open(monitor, deadline);
  return RunningQemu.inherit(new InheritedProcess(identity, qmp), qmp, directory);
}

/**
 * Ends every process that works in one of `directories` or below and whose pid is
 * not in `keep`: QEMUs whose server was killed before it could note them.
 */
export async function killStrays(
  directories: readonly string[],
  keep: ReadonlySet<number>,
): Promise<void> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const strays = await Promise.all(
    pids.map(async (pid) => {
      if (keep.has(pid) || pid === process.pid) return undefined;
      const isOurs = await worksIn(pid, directories);
      return isOurs && (await isQemu(pid)) ? identifyProcess(pid) : undefined;
    }),
  );
  await Promise.all(strays.map(async (stray) => stray && killProcess(stray)));
}

/** By path, which is that of its start; and by the folder itself, which may have got another name since. */
async function worksIn(pid: number, directories: readonly string[]): Promise<boolean> {
  const link = `/proc/${pid}/cwd`;
  const path = await readlink(link).catch(() => undefined);
  if (path === undefined) return false;
  if (directories.some((directory) => `${path}/`.startsWith(`${directory}/`))) return true;
  const folder = await stat(link).catch(() => undefined);
  const stats = directories.map((directory) => stat(directory).catch(() => undefined));
  for (const one of await Promise.all(stats)) {
    if (one !== undefined && one.ino === folder?.ino && one.dev === folder.dev) return true;
  }
  return false;
}

/** A shell that somebody has open in one of the folders is none of ours. */
async function isQemu(pid: number): Promise<boolean> {
  const commandLine = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
  return commandLine.includes("-incoming\0defer\0") || commandLine.includes("\0-nodefaults\0");
}
