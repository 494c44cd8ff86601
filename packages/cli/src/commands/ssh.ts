import { spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Nullspace, NotFoundError, type SshAccess } from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import {
  AccessFolder,
  FOLDER_VARIABLE,
  lastingFolder,
  type Relay,
  thisProgram,
} from "../ssh/access-folder.js";
import { openRelay } from "../ssh/relay-stream.js";
import { hint, print } from "../terminal.js";

/** How long an access lasts where nobody says: that of a session ends with it anyway. */
const DEFAULT_MINUTES = 1440;
/** An access is renewed when so much of its time is left, as a part of all. */
const RENEWED_AT = 0.5;
/** Exit code of ssh when it has no connection. */
const NO_CONNECTION = 255;

/** Options of `nullspace ssh`. */
export interface SshFlags extends CommonOptions {
  expiresIn?: number;
  login?: string;
}

/** `nullspace ssh`: gives the exit code of ssh, which is that of the command. */
export async function ssh(
  target: string,
  args: readonly string[],
  flags: SshFlags,
): Promise<number> {
  const [, user, id = target] = /^([^@]*)@(.*)$/.exec(target) ?? [];
  const login = flags.login ?? user;
  await using client = await openClient(flags);
  const folder = await AccessFolder.open(await mkdtemp(join(tmpdir(), "nullspace-ssh-")));
  let access: SshAccess | undefined;
  try {
    access = await grant(client, id, folder, flags);
    const { machineId: host } = access;
    await folder.write(access, client.url, {
      host,
      proxy: [...thisProgram(), "ssh", "proxy", host],
    });
    const options = ["-F", folder.config, ...(login === undefined ? [] : ["-l", login])];
    return await runSsh([...options, host, ...args], folder.path);
  } finally {
    await folder.remove();
    if (access !== undefined) await revoke(client, access.id);
  }
}

/** Makes an access for the key in a folder. A paused machine is resumed. */
async function grant(
  client: Nullspace,
  id: string,
  folder: AccessFolder,
  { expiresIn = DEFAULT_MINUTES * 60 }: SshFlags,
): Promise<SshAccess> {
  const [machine, publicKey] = await Promise.all([client.machines.connect(id), folder.publicKey()]);
  return machine.createSshAccess({ publicKey, expiresInMinutes: Math.ceil(expiresIn / 60) });
}

/** It would expire by itself: that nobody can end it now is worth a word, not a failure. */
async function revoke(client: Nullspace, accessId: string): Promise<void> {
  try {
    await client.machines.revokeSshAccess(accessId);
  } catch (error) {
    if (error instanceof NotFoundError) return;
    const why = error instanceof Error ? error.message : String(error);
    hint(`the access could not be revoked: ${why}`);
  }
}

/** A terminal tells ssh as well, which is the one to decide. */
function leaveToSsh(): void {}

async function runSsh(args: readonly string[], folder: string): Promise<number> {
  const env = { ...process.env, [FOLDER_VARIABLE]: folder };
  const child = spawn("ssh", args, { env, stdio: "inherit" });
  const pass = (signal: NodeJS.Signals) => void child.kill(signal);
  process.on("SIGINT", leaveToSsh).on("SIGQUIT", leaveToSsh).on("SIGTERM", pass).on("SIGHUP", pass);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once("error", (cause) =>
    reject(new Error("ssh cannot be run: install the OpenSSH client", { cause })),
  );
  child.once("close", (code, signal) =>
    resolve(code ?? (signal === null ? NO_CONNECTION : 128 + constants.signals[signal])),
  );
  return promise;
}

/** `nullspace ssh proxy`: carries a connection between standard input and output, for ssh. */
export async function proxy(id: string): Promise<void> {
  const folder = process.env[FOLDER_VARIABLE] || lastingFolder(id);
  const relay = await (await AccessFolder.open(folder)).relay();
  if (relay === undefined) {
    throw new Error(`there is no access to ${id} yet. Run nullspace ssh config ${id}.`);
  }
  const stream = await openRelay(relay);
  const done = await Promise.race([
    pipeline(process.stdin, stream).then(() => "input" as const),
    pipeline(stream, process.stdout).then(() => "output" as const),
  ]).catch(() => "broken" as const);
  // ssh has gone, or the machine: what is left has nobody to go to.
  if (done === "broken") stream.destroy();
  if (done !== "input") process.stdin.destroy();
}

/** `nullspace ssh config`: makes an access that lasts and prints the configuration that uses it. */
export async function config(id: string, flags: SshFlags): Promise<void> {
  const folder = await renewed(id, flags, true);
  // Behind the last Host of a file an Include alone would be that host's.
  print(`Match all\nInclude "${folder.config}"\n`);
  hint(`put this into ~/.ssh/config; then: ssh ${id}`);
}

/** `nullspace ssh renew`: what ssh runs before each connection. */
export async function renew(id: string, flags: SshFlags): Promise<void> {
  await renewed(id, flags, false);
}

async function renewed(id: string, flags: SshFlags, always: boolean): Promise<AccessFolder> {
  const folder = await AccessFolder.open(lastingFolder(id));
  const former = await folder.relay();
  // The server that it was made with, whatever the environment says by then.
  const url = flags.url ?? former?.server;
  await using client = await openClient({ ...flags, ...(url !== undefined && { url }) });
  const machine = await client.machines.connect(id);
  if (!always && former !== undefined && isFresh(former, machine.id)) return folder;
  const expiresIn = flags.expiresIn ?? lifetimeOf(former);
  const access = await grant(client, machine.id, folder, { expiresIn });
  const own = [...thisProgram(), "ssh"];
  await folder.write(access, client.url, {
    host: id,
    proxy: [...own, "proxy", id],
    renew: [...own, "renew", id],
  });
  return folder;
}

function isFresh(relay: Relay, machineId: string): boolean {
  const left = Date.parse(relay.expiresAt) - Date.now();
  return relay.machineId === machineId && left > lifetimeOf(relay) * 1000 * RENEWED_AT;
}

/** In seconds. */
function lifetimeOf(relay: Relay | undefined): number {
  if (relay === undefined) return DEFAULT_MINUTES * 60;
  return (Date.parse(relay.expiresAt) - Date.parse(relay.createdAt)) / 1000;
}
