import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Process } from "@nullspace/proto/agent";
import { concatBytes } from "../bytes.js";
import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { NotFoundError } from "../errors.js";
import { endOf } from "./collect.js";
import { followProcess } from "./follow.js";
import type { Signal } from "./options.js";
import { OutputDecoder } from "./output.js";
import type { CommandEnd } from "./result.js";

/** A process that runs or ended lately. */
export interface ProcessInfo {
  pid: number;
  /** The program, or the line for the shell. */
  command: string;
  args: string[];
  cwd: string;
  user: string;
  startedAt: Date | undefined;
  running: boolean;
  /** How it ended; undefined while it runs. */
  end: CommandEnd | undefined;
  /** Bytes of output so far, both streams together. */
  outputBytes: number;
}

/** What a process wrote so far. */
export interface CommandLogs {
  stdout: string;
  stderr: string;
  /** Both, in the order in which the machine received them. */
  output: string;
  /** Null while the process runs. */
  exitCode: number | null;
  /** Bytes at the beginning that the machine no longer keeps. */
  droppedBytes: number;
}

/** The processes of a machine that were started by commands, newest first. */
export async function listProcesses(
  agent: AgentConnection,
  options: CallOptions,
): Promise<ProcessInfo[]> {
  const { processes } = await agent.unary(options, (attempt) => agent.processes.list({}, attempt), {
    idempotent: true,
  });
  return processes.map(fromMessage);
}

/** The process with this pid. */
export async function findProcess(
  agent: AgentConnection,
  pid: number,
  options: CallOptions,
): Promise<ProcessInfo> {
  const found = (await listProcesses(agent, options)).find((process) => process.pid === pid);
  if (found !== undefined) return found;
  throw new NotFoundError(`machine ${agent.machineId} has no process ${pid}`, {
    reason: "PROCESS_NOT_FOUND",
    remedy: "commands.list() tells the processes it has.",
  });
}

/** Signals a process group. */
export async function sendSignal(
  agent: AgentConnection,
  pid: number,
  signal: Signal,
  options: CallOptions,
): Promise<void> {
  await agent.unary(options, (attempt) => agent.processes.sendSignal({ pid, signal }, attempt));
}

/** Reads what a process wrote until now. */
export async function readLogs(
  agent: AgentConnection,
  pid: number,
  options: CallOptions,
): Promise<CommandLogs> {
  const process = await findProcess(agent, pid, options);
  const chunks: Record<"stdout" | "stderr" | "output", Uint8Array[]> = {
    stdout: [],
    stderr: [],
    output: [],
  };
  const decoder = new OutputDecoder();
  let droppedBytes = 0;
  let at = 0;
  // The stream goes on for as long as the process: left where the output was when we asked.
  if (process.outputBytes > 0) {
    const signal = options.signal ?? new AbortController().signal;
    const origin = { pid, offset: 0n };
    for await (const moment of followProcess(agent, origin, { ...options, signal })) {
      if (moment.case === "dropped") {
        droppedBytes += Number(moment.value.bytes);
        at = Number(moment.value.offset + moment.value.bytes);
      }
      if (moment.case === "output") {
        const output = decoder.decode(moment.value);
        chunks[output.stream].push(output.data);
        chunks.output.push(output.data);
        at = output.offset + output.data.length;
      }
      if (at >= process.outputBytes) break;
    }
  }
  return {
    stdout: textOf(chunks.stdout),
    stderr: textOf(chunks.stderr),
    output: textOf(chunks.output),
    exitCode: process.end?.exitCode ?? null,
    droppedBytes,
  };
}

function textOf(chunks: Uint8Array[]): string {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(concatBytes(chunks, length));
}

function fromMessage(process: Process): ProcessInfo {
  return {
    pid: process.pid,
    command: process.command,
    args: [...process.args],
    cwd: process.cwd,
    user: process.user,
    startedAt: process.startedAt && timestampDate(process.startedAt),
    running: process.exit === undefined,
    end: process.exit && endOf(process.exit),
    outputBytes: Number(process.outputBytes),
  };
}
