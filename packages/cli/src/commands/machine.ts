import type { MachineInfo, MachineState, TimeoutAction, WarmPoolMode } from "@nullspace/sdk";
import { openClient } from "../client.js";
import { describePolicy, type EgressFlags, policyOf } from "../egress/policy.js";
import type { CommonOptions } from "../options.js";
import { withProgress } from "../progress.js";
import { printDone, toSeveral } from "../several.js";
import {
  duration,
  fields,
  hint,
  mebibytes,
  print,
  printJson,
  type Style,
  styled,
  table,
} from "../terminal.js";

/** Options of `nullspace machine create`. */
export interface CreateFlags extends CommonOptions, EgressFlags {
  template?: string;
  snapshot?: string;
  vcpus?: number;
  memoryMb?: number;
  diskMb?: number;
  timeout?: number;
  onTimeout?: TimeoutAction;
  autoResume?: boolean;
  idle?: number;
  deletePausedAfter?: number;
  warmPool?: WarmPoolMode;
  metadata?: Record<string, string>;
  env?: Record<string, string>;
  cwd?: string;
  idempotencyKey?: string;
  publicTraffic: boolean;
  maskHost?: string;
}

/** `nullspace machine create` */
export async function createMachine(flags: CreateFlags): Promise<void> {
  const egress = policyOf(flags);
  await using client = await openClient(flags);
  const started = performance.now();
  const { template, vcpus, memoryMb, diskMb, onTimeout, autoResume, warmPool, json } = flags;
  const { metadata, cwd, idempotencyKey } = flags;
  const creating = client.machines.create({
    template,
    snapshotId: flags.snapshot,
    vcpus,
    memoryMb,
    diskMb,
    timeoutSeconds: flags.timeout,
    onTimeout,
    autoResume,
    idleSeconds: flags.idle,
    deletePausedAfterSeconds: flags.deletePausedAfter,
    warmPool,
    metadata,
    envs: flags.env,
    cwd,
    idempotencyKey,
    network: { egress, allowPublicTraffic: flags.publicTraffic, maskRequestHost: flags.maskHost },
  });
  const machine = await withProgress("starting a machine", creating);
  const { receipt, trafficAccessToken } = machine;
  if (json) {
    const info = await machine.getInfo();
    printJson({ ...info, receipt, trafficAccessToken });
    return;
  }
  print(`${machine.id}\n`);
  // Standard output is the id's, which scripts read; this is told once and never again.
  if (trafficAccessToken !== undefined) {
    process.stderr.write(`traffic access token: ${trafficAccessToken}\n`);
  }
  const took = Math.round(performance.now() - started);
  hint(`ready in ${took} ms; run something: nullspace exec ${machine.id} -- uname -a`);
}

/** Options of `nullspace machine list`. */
export interface ListFlags extends CommonOptions {
  state?: MachineState[];
  template?: string;
  metadata?: Record<string, string>;
  limit?: number;
  cursor?: string;
  all?: boolean;
}

/** `nullspace machine list` */
export async function listMachines(flags: ListFlags): Promise<void> {
  await using client = await openClient(flags);
  const { state, template, metadata, limit, cursor } = flags;
  const page = await client.machines.list({ state, template, metadata, limit, cursor });
  const items = [...page.items];
  let { nextCursor } = page;
  if (flags.all) {
    for (let next = await page.next(); next !== undefined; next = await next.next()) {
      items.push(...next.items);
    }
    nextCursor = undefined;
  }
  if (flags.json) return printJson({ items, nextCursor: nextCursor ?? null });
  if (items.length === 0) return hint("no machines; start one: nullspace machine create");
  const headings = ["ID", "STATE", "TEMPLATE", "VCPUS", "MEMORY", "AGE", "LEFT", "METADATA"];
  print(table(headings, items.map(rowOf)));
  if (nextCursor !== undefined) hint(`more: add --cursor ${nextCursor}, or --all`);
}

/** `nullspace machine get` */
export async function getMachine(id: string, flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const info = await client.machines.getInfo(id);
  if (flags.json) return printJson(info);
  print(
    fields([
      ["id", info.id],
      ["state", coloredState(info.state)],
      ["failure", info.failure],
      ["template", info.template],
      ["size", `${info.vcpus} vCPU, ${mebibytes(info.memoryMb)}, disk ${mebibytes(info.diskMb)}`],
      ["cwd", info.cwd],
      ["egress", describePolicy(info.egress)],
      ["created", info.createdAt.toISOString()],
      ["ended", info.endedAt?.toISOString()],
      ["timeout", timeoutOf(info)],
      ["idle timeout", info.idleSeconds > 0 ? duration(info.idleSeconds * 1000) : undefined],
      ["from snapshot", info.snapshotId],
      ["from machine", info.parentId],
      ["paused into", info.pausedSnapshotId],
      ["goes on as", info.resumedAs],
      ["metadata", metadataOf(info)],
    ]),
  );
}

/** `nullspace machine kill` */
export async function killMachines(ids: string[], flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const killing = toSeveral(ids, (id) => client.machines.kill(id));
  printDone("killed", await withProgress("killing", killing), flags.json);
}

/** Options of `nullspace machine timeout`. */
export interface TimeoutFlags extends CommonOptions {
  onTimeout?: TimeoutAction;
  idle?: number;
  deletePausedAfter?: number;
}

/** `nullspace machine timeout` */
export async function setMachineTimeout(
  id: string,
  seconds: number,
  flags: TimeoutFlags,
): Promise<void> {
  await using client = await openClient(flags);
  const info = await client.machines.setTimeout(id, {
    seconds,
    onTimeout: flags.onTimeout,
    idleSeconds: flags.idle,
    deletePausedAfterSeconds: flags.deletePausedAfter,
  });
  if (flags.json) printJson(info);
  else print(`${timeoutOf(info) ?? "never"}\n`);
}

const STATE_STYLES: Partial<Record<MachineState, Style>> = {
  running: "green",
  failed: "red",
  killed: "dim",
};

function coloredState(state: MachineState): string {
  return styled(STATE_STYLES[state] ?? "yellow", state);
}

function rowOf(info: MachineInfo): string[] {
  return [
    info.id,
    coloredState(info.state),
    info.template,
    String(info.vcpus),
    mebibytes(info.memoryMb),
    duration(Date.now() - info.createdAt.getTime()),
    info.timeoutAt ? duration(info.timeoutAt.getTime() - Date.now()) : "-",
    metadataOf(info) ?? "",
  ];
}

function metadataOf(info: MachineInfo): string | undefined {
  const pairs = Object.entries(info.metadata).map(([name, value]) => `${name}=${value}`);
  return pairs.length === 0 ? undefined : pairs.join(" ");
}

function timeoutOf(info: MachineInfo): string | undefined {
  if (info.timeoutAt === undefined || info.endedAt !== undefined) return undefined;
  const left = duration(info.timeoutAt.getTime() - Date.now());
  return `${info.onTimeout} in ${left} (${info.timeoutAt.toISOString()})`;
}
