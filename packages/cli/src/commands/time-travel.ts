import type { ForkResult, TimeoutAction } from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { withProgress } from "../progress.js";
import { hint, print, printJson } from "../terminal.js";

/** `nullspace machine pause` */
export async function pauseMachine(id: string, flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const snapshot = await withProgress("pausing", client.machines.pause(id));
  if (flags.json) return printJson(snapshot);
  print(`${snapshot.id}\n`);
  hint(`go on with it: nullspace machine resume ${id}`);
}

/** Options of `nullspace machine resume`. */
export interface ResumeFlags extends CommonOptions {
  timeout?: number;
}

/** `nullspace machine resume`, by a machine's id or that of its snapshot. */
export async function resumeMachine(id: string, flags: ResumeFlags): Promise<void> {
  await using client = await openClient(flags);
  const options = { timeoutSeconds: flags.timeout };
  const resuming = id.startsWith("s")
    ? client.machines.resume(id, options)
    : client.machines.connect(id, options);
  const machine = await withProgress("resuming", resuming);
  if (flags.json) {
    printJson({ ...(await machine.getInfo()), receipt: machine.receipt });
  } else print(`${machine.id}\n`);
}

/** Options of `nullspace machine fork`. */
export interface ForkFlags extends CommonOptions {
  count?: number;
  metadata?: Record<string, string>;
  env?: Record<string, string>;
  timeout?: number;
  onTimeout?: TimeoutAction;
  idempotencyKey?: string;
}

/** `nullspace machine fork` */
export async function forkMachine(id: string, flags: ForkFlags): Promise<void> {
  await using client = await openClient(flags);
  const { count, metadata, env: envs, timeout, onTimeout, idempotencyKey } = flags;
  const options = { count, metadata, envs, timeoutSeconds: timeout, onTimeout, idempotencyKey };
  const results = await withProgress("forking", client.machines.fork(id, options));
  if (flags.json) printJson({ children: results.map(jsonOf) });
  else for (const { machine } of results) if (machine !== undefined) print(`${machine.id}\n`);
  // One that failed does not keep the others from being told.
  const failed = results.find(({ error }) => error !== undefined);
  if (failed?.error === undefined) return;
  if (!flags.json) throw failed.error;
  const { exitCodeOf } = await import("../failure.js");
  process.exitCode = exitCodeOf(failed.error);
}

/** Options of `nullspace machine snapshot`. */
export interface SnapshotFlags extends CommonOptions {
  name?: string;
  metadata?: Record<string, string>;
  idempotencyKey?: string;
}

/** `nullspace machine snapshot` */
export async function snapshotMachine(id: string, flags: SnapshotFlags): Promise<void> {
  await using client = await openClient(flags);
  const { name, metadata, idempotencyKey } = flags;
  const taking = client.snapshots.create(id, { name, metadata, idempotencyKey });
  const snapshot = await withProgress("saving", taking);
  if (flags.json) return printJson(snapshot);
  print(`${snapshot.id}\n`);
  hint(`start from it: nullspace machine create --snapshot ${snapshot.id}`);
}

function jsonOf({ machine, error }: ForkResult) {
  if (error === undefined) return { id: machine.id, receipt: machine.receipt };
  const { code, reason, message, retryable, details } = error;
  return { error: { code, reason, message, retryable, details } };
}
