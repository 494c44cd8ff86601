import type { CommandOptions, Machine, Signal } from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { BROKEN_PIPE, PassThrough } from "../pass-through.js";
import { hint, print, printJson } from "../terminal.js";
import { UsageError } from "../usage-error.js";

/** Options of `nullspace exec`. */
export interface ExecFlags extends CommonOptions {
  shell?: string;
  cwd?: string;
  env?: Record<string, string>;
  user?: string;
  timeout?: number;
  stdin: boolean;
  detach?: boolean;
}

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
    stdin: flags.stdin && !flags.detach ? process.stdin : undefined,
  };
  const line = program ?? flags.shell ?? "";
  const wanted = program === undefined ? options : { ...options, args };
  if (flags.detach) {
    const { pid } = await machine.commands.run(line, { ...wanted, background: true });
    if (flags.json) printJson({ pid });
    else print(`${pid}\n`);
    hint(`it runs on; read it: nullspace process logs ${id} ${pid} --follow`);
    return 0;
  }
  // Awaited: the client closes when this scope ends.
  return await runThrough(machine, line, wanted, flags.json === true);
}

async function runThrough(
  machine: Machine,
  command: string,
  options: CommandOptions,
  json: boolean,
): Promise<number> {
  let pid: number | undefined;
  using through = new PassThrough((signal: Signal) => {
    // Before the command runs there is nothing to tell: the call is given up.
    if (pid === undefined) return through.cancel();
    // It may have ended in the meantime, which the running call tells anyway.
    machine.commands.kill(pid, signal).catch(() => undefined);
  });
  try {
    const result = await machine.commands.run(command, {
      ...options,
      background: false,
      signal: through.signal,
      maxOutputBytes: json ? undefined : 0,
      onStart: (started) => void (pid = started),
      onOutput: json ? undefined : (output) => through.write(output),
    });
    if (json) {
      const { exitCode, signal = null, timedOut, stdout, stderr, droppedBytes } = result;
      printJson({ exitCode, signal, timedOut, stdout, stderr, droppedBytes, pid });
    }
    return result.exitCode;
  } catch (error) {
    if (through.isBrokenPipe(error)) return BROKEN_PIPE;
    throw error;
  } finally {
    // A terminal or pipe that is still open would keep this program running.
    if (options.stdin !== undefined) process.stdin.destroy();
  }
}
