import type { Machine, ProcessInfo, Signal } from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { BROKEN_PIPE, PassThrough } from "../pass-through.js";
import { toSeveral } from "../several.js";
import { bytes as size, duration, hint, print, printJson, styled, table } from "../terminal.js";

/** `nullspace process list` */
export async function listProcesses(id: string, flags: CommonOptions): Promise<void> {
  await using client = await openClient(flags);
  const machine = await client.machines.connect(id);
  const items = await machine.commands.list();
  if (flags.json) return printJson({ items });
  if (items.length === 0) return hint("no processes; start one: nullspace exec -d");
  print(table(["PID", "STATE", "USER", "AGE", "OUTPUT", "COMMAND"], items.map(rowOf)));
}

/** Options of `nullspace process logs`. */
export interface LogsFlags extends CommonOptions {
  follow?: boolean;
}

/** `nullspace process logs`: gives the exit code of this program. */
export async function printLogs(id: string, pid: number, flags: LogsFlags): Promise<number> {
  await using client = await openClient(flags);
  const machine = await client.machines.connect(id);
  if (flags.json) {
    const handle = await machine.commands.connect(pid);
    if (flags.follow) await handle.wait();
    printJson({ pid, ...(await handle.getLogs()) });
    return 0;
  }
  await using handle = await machine.commands.connect(pid);
  using through = new PassThrough(() => process.exit(130));
  try {
    // What is written from now on is waited for only when it is asked for.
    const end = flags.follow ? Number.POSITIVE_INFINITY : await writtenSoFar(machine, pid);
    if (end === 0) return 0;
    for await (const output of handle) {
      tellDropped(output.droppedBytes);
      await through.write(output);
      if (output.offset + output.data.length >= end) break;
    }
    return 0;
  } catch (error) {
    if (through.isBrokenPipe(error)) return BROKEN_PIPE;
    throw error;
  }
}

/** Options of `nullspace process attach`. */
export interface AttachFlags extends CommonOptions {
  stdin: boolean;
  signals: boolean;
}

/** `nullspace process attach`: gives the exit code of the process. */
export async function attach(id: string, pid: number, flags: AttachFlags): Promise<number> {
  await using client = await openClient(flags);
  const machine = await client.machines.connect(id);
  await using handle = await machine.commands.connect(pid);
  using through = new PassThrough((signal: Signal) => {
    if (!flags.signals) process.exit(130);
    handle.kill(signal).catch(() => undefined);
  });
  const feeding = flags.stdin ? feed(handle) : Promise.resolve();
  // It fails when the process has ended, which the loop below tells.
  feeding.catch(() => undefined);
  try {
    for await (const output of handle) {
      tellDropped(output.droppedBytes);
      if (!flags.json) await through.write(output);
    }
    const { exitCode, signal = null, timedOut, stdout, stderr } = await handle.wait();
    if (flags.json) printJson({ pid, exitCode, signal, timedOut, stdout, stderr });
    return exitCode;
  } catch (error) {
    if (through.isBrokenPipe(error)) return BROKEN_PIPE;
    throw error;
  } finally {
    if (flags.stdin) process.stdin.destroy();
  }
}

/** Options of `nullspace process stdin`. */
export interface StdinFlags extends CommonOptions {
  close?: boolean;
}

/** `nullspace process stdin` */
export async function sendStdin(id: string, pid: number, flags: StdinFlags): Promise<void> {
  await using client = await openClient(flags);
  const machine = await client.machines.connect(id);
  let bytes = 0;
  for await (const data of process.stdin) {
    const piece = Buffer.from(data);
    await machine.commands.sendStdin(pid, piece);
    bytes += piece.length;
  }
  if (flags.close) await machine.commands.closeStdin(pid);
  if (flags.json) printJson({ pid, bytes, closed: flags.close === true });
}

/** Options of `nullspace process kill`. */
export interface KillFlags extends CommonOptions {
  signal: Signal;
}

/** `nullspace process kill` */
export async function killProcesses(id: string, pids: number[], flags: KillFlags): Promise<void> {
  await using client = await openClient(flags);
  const machine = await client.machines.connect(id);
  const { signal, json } = flags;
  const { done, failure } = await toSeveral(pids, (pid) => machine.commands.kill(pid, signal));
  if (failure !== undefined) throw failure.reason;
  if (json) printJson({ signalled: done, signal });
}

async function writtenSoFar(machine: Machine, pid: number): Promise<number> {
  const processes = await machine.commands.list();
  return processes.find((process) => process.pid === pid)?.outputBytes ?? 0;
}

/** Sends standard input to a process and closes it at its end. */
async function feed(handle: {
  sendStdin: (data: Uint8Array) => Promise<void>;
  closeStdin: () => Promise<void>;
}): Promise<void> {
  for await (const data of process.stdin) await handle.sendStdin(Buffer.from(data));
  await handle.closeStdin();
}

function tellDropped(bytes: number): void {
  if (bytes > 0) hint(`(${size(bytes)} before this are no longer kept)`);
}

function rowOf(info: ProcessInfo): string[] {
  const age = info.startedAt === undefined ? "" : duration(Date.now() - info.startedAt.getTime());
  return [
    String(info.pid),
    stateOf(info),
    info.user,
    age,
    size(info.outputBytes),
    [info.command, ...info.args].join(" "),
  ];
}

function stateOf({ running, end }: ProcessInfo): string {
  if (running) return styled("green", "running");
  if (end?.signal !== undefined) return styled("yellow", end.signal);
  return end?.exitCode === 0 ? styled("dim", "exit 0") : styled("red", `exit ${end?.exitCode}`);
}
