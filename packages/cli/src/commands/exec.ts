import { once } from "node:events";
import type { CommandOptions, CommandOutput, Machine, Signal } from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { printJson } from "../terminal.js";
import { UsageError } from "../usage-error.js";

/** Options of `nullspace exec`. */
export interface ExecFlags extends CommonOptions {
  shell?: string;
  cwd?: string;
  env?: Record<string, string>;
  user?: string;
  timeout?: number;
  stdin: boolean;
}

/** Signals that the command is told of instead of this program. */
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const satisfies Signal[];
/** Exit code of a program that writes to a closed pipe: 128 + SIGPIPE. */
const BROKEN_PIPE = 141;

/** `nullspace exec`: gives the exit code of the command. */
export async function exec(id: string, command: string[], flags: ExecFlags): Promise<number> {
  const [program, ...args] = command;
  if ((program === undefined) === (flags.shell === undefined)) {
    throw new UsageError("give either a command after -- or a line with --shell");
  }
  await using client = await openClient(flags);
  const machine = await client.machines.connect(id);
  const options = {
    cwd: flags.cwd,
    envs: flags.env,
    user: flags.user,
    timeoutMs: flags.timeout === undefined ? undefined : flags.timeout * 1000,
    stdin: flags.stdin ? process.stdin : undefined,
  };
  // Awaited: the client closes when this scope ends.
  return await runThrough(
    machine,
    program ?? flags.shell ?? "",
    program === undefined ? options : { ...options, args },
    flags.json === true,
  );
}

async function runThrough(
  machine: Machine,
  command: string,
  options: CommandOptions,
  json: boolean,
): Promise<number> {
  const cancel = new AbortController();
  let pid: number | undefined;
  const forward = (signal: Signal) => {
    // Before the command runs there is nothing to tell: the call is given up.
    if (pid === undefined) return cancel.abort();
    // It may have ended in the meantime, which the running call tells anyway.
    machine.commands.kill(pid, signal).catch(() => undefined);
  };
  const outputClosed = Promise.withResolvers<never>();
  const onOutputError = (error: Error) => {
    cancel.abort(error);
    outputClosed.reject(error);
  };
  outputClosed.promise.catch(() => undefined);

  for (const signal of FORWARDED) process.on(signal, forward);
  process.stdout.on("error", onOutputError);
  try {
    const result = await machine.commands.run(command, {
      ...options,
      background: false,
      signal: cancel.signal,
      maxOutputBytes: json ? undefined : 0,
      onStart: (started) => void (pid = started),
      onOutput: json ? undefined : (output) => Promise.race([write(output), outputClosed.promise]),
    });
    if (json) {
      const { exitCode, signal = null, timedOut, stdout, stderr, droppedBytes } = result;
      printJson({ exitCode, signal, timedOut, stdout, stderr, droppedBytes, pid });
    }
    return result.exitCode;
  } catch (error) {
    if (isBrokenPipe(error) || isBrokenPipe(cancel.signal.reason)) return BROKEN_PIPE;
    throw error;
  } finally {
    for (const signal of FORWARDED) process.off(signal, forward);
    process.stdout.off("error", onOutputError);
    // A terminal or pipe that is still open would keep this program running.
    if (options.stdin !== undefined) process.stdin.destroy();
  }
}

/** Passes a piece of output on, and waits while whoever reads it is slow. */
async function write({ stream, data }: CommandOutput): Promise<void> {
  const target = process[stream];
  if (!target.write(data)) await once(target, "drain");
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}
