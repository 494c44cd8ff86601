import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { InvalidArgumentError } from "../errors.js";
import { CommandHandle } from "./handle.js";
import type { CommandOptions, ConnectCommandOptions, Signal } from "./options.js";
import {
  type CommandLogs,
  findProcess,
  listProcesses,
  type ProcessInfo,
  readLogs,
  sendSignal,
} from "./processes.js";
import type { CommandResult } from "./result.js";
import { runForeground, runInBackground } from "./run.js";
import { closeStdin, sendStdin } from "./stdin.js";

/** Runs commands in one machine. */
export class Commands {
  readonly #agent: AgentConnection;

  /** @internal */
  constructor(agent: AgentConnection) {
    this.#agent = agent;
  }

  /**
   * Runs a command. `run("a | b")` goes through a shell; with `args` there is
   * no shell, and nothing to quote.
   *
   * A non-zero exit is a result, not an exception: see `result.orThrow()`. There
   * is no limit of time unless you set one. Cancelling by `signal` kills the
   * command; losing the connection does not: the SDK finds the command again
   * and goes on where it was.
   *
   * With `background: true` it resolves as soon as the command runs, with a
   * handle. Standard input then stays open for `sendStdin`.
   *
   * @throws InvalidArgumentError `PROCESS_START_FAILED`: no such program, user or folder
   * @example
   * ```ts
   * const { stdout, exitCode } = await machine.commands.run("ls -la | head");
   * await machine.commands.run("git", { args: ["commit", "-m", message] });
   * await machine.commands.run("npm test", { onStdout: (text) => process.stdout.write(text) });
   * ```
   */
  run(command: string, options: CommandOptions & { background: true }): Promise<CommandHandle>;
  run(
    command: string,
    options?: CommandOptions & { background?: false | undefined },
  ): Promise<CommandResult>;
  run(command: string, options?: CommandOptions): Promise<CommandResult | CommandHandle>;
  async run(command: string, options: CommandOptions = {}): Promise<CommandResult | CommandHandle> {
    return options.background === true
      ? runInBackground(this.#agent, command, options)
      : runForeground(this.#agent, command, options);
  }

  /** Lists the processes that commands started: running ones and those that ended lately, newest first. */
  list(options: CallOptions = {}): Promise<ProcessInfo[]> {
    return listProcesses(this.#agent, options);
  }

  /**
   * Gives a handle of a process: its loop replays the output that is kept, then
   * goes on live.
   *
   * @throws NotFoundError `PROCESS_NOT_FOUND`
   * @throws InvalidArgumentError for an offset that is none
   * @example Go on in the machine that a paused one was resumed as:
   * ```ts
   * const resumed = await Machine.connect(machine.id);
   * const server = await resumed.commands.connect(pid, { offset: last.offset + last.data.length });
   * ```
   */
  async connect(pid: number, options: ConnectCommandOptions = {}): Promise<CommandHandle> {
    const { offset = 0 } = options;
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw new InvalidArgumentError(`offset is ${offset}`, { remedy: "Give a number of bytes." });
    }
    const process = await findProcess(this.#agent, pid, options);
    return new CommandHandle(this.#agent, pid, process.command, offset);
  }

  /**
   * Reads what a process wrote so far, without waiting for more.
   *
   * @throws NotFoundError `PROCESS_NOT_FOUND`
   */
  getLogs(pid: number, options: CallOptions = {}): Promise<CommandLogs> {
    return readLogs(this.#agent, pid, options);
  }

  /**
   * Writes to a process's standard input; resolves when the process has been handed all of it.
   *
   * @throws ConflictError `STDIN_CLOSED`
   */
  sendStdin(pid: number, data: string | Uint8Array, options: CallOptions = {}): Promise<void> {
    return sendStdin(this.#agent, pid, data, options);
  }

  /** Closes a process's standard input: it reads its end. */
  closeStdin(pid: number, options: CallOptions = {}): Promise<void> {
    return closeStdin(this.#agent, pid, options);
  }

  /** Signals a process and everything it started (its process group); `SIGKILL` when not given. */
  kill(pid: number, signal: Signal = "SIGKILL", options: CallOptions = {}): Promise<void> {
    return sendSignal(this.#agent, pid, signal, options);
  }
}
