import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { collectResult } from "./collect.js";
import { followProcess } from "./follow.js";
import { type CommandLogs, readLogs, sendSignal } from "./processes.js";
import type { BaseCommandOptions, Signal } from "./options.js";
import { type CommandOutput, OutputDecoder } from "./output.js";
import type { CommandResult } from "./result.js";
import { closeStdin, pumpStdin, sendStdin } from "./stdin.js";

/** What {@link CommandHandle.wait} takes. */
export interface WaitOptions extends CallOptions {
  /** Bytes of each of stdout and stderr kept for the result, the last ones; 64 MiB when not given. */
  maxOutputBytes?: number | undefined;
}

/**
 * A command that runs in the background. The machine keeps its output, up to a
 * bound, so it can be read at any time, by any number of readers, each from the
 * beginning. Losing the connection does nothing to the command.
 *
 * @example
 * ```ts
 * const server = await machine.commands.run("python3 -m http.server", { background: true });
 * for await (const { stream, text } of server) console.log(stream, text);
 * ```
 */
export class CommandHandle implements AsyncIterable<CommandOutput>, AsyncDisposable {
  readonly pid: number;
  readonly #agent: AgentConnection;
  readonly #command: string;
  /** First byte of output that loops and waits begin with. */
  readonly #offset: bigint;
  readonly #disconnected = new AbortController();
  #listening: Promise<CommandResult> | undefined;
  #feeding: Promise<void> | undefined;

  /** @internal Use `commands.run` with `background: true`, or `commands.connect`. */
  constructor(agent: AgentConnection, pid: number, command: string, offset: number) {
    this.pid = pid;
    this.#agent = agent;
    this.#command = command;
    this.#offset = BigInt(offset);
  }

  /** @internal Starts telling the listeners and feeding standard input. */
  attach(options: BaseCommandOptions): void {
    const { onStdout, onStderr, onOutput, stdin, maxOutputBytes } = options;
    if (onStdout ?? onStderr ?? onOutput) {
      this.#listening = this.#collect({ onStdout, onStderr, onOutput, maxOutputBytes });
      // Whoever waits is told; a failure that nobody waits for ends no program.
      this.#listening.catch(() => undefined);
    }
    if (stdin !== undefined) {
      this.#feeding = pumpStdin(this.#agent, this.pid, stdin, this.#disconnected.signal);
      this.#feeding.catch(() => undefined);
    }
  }

  /**
   * Resolves when the command has ended, with the output that the machine kept.
   *
   * @throws CancelledError after {@link disconnect}
   */
  async wait(options: WaitOptions = {}): Promise<CommandResult> {
    if (this.#listening !== undefined) await this.#listening;
    const failed = this.#feeding?.then(() => new Promise<never>(() => undefined));
    const ended = this.#listening ?? this.#collect(options);
    return failed === undefined ? ended : Promise.race([ended, failed]);
  }

  /** The output from its beginning, or the `offset` of `connect`, as far as it is kept, then as it comes, until the command ends. */
  async *[Symbol.asyncIterator](): AsyncGenerator<CommandOutput, void, undefined> {
    const decoder = new OutputDecoder();
    const { signal } = this.#disconnected;
    if (signal.aborted) return;
    const origin = { pid: this.pid, offset: this.#offset };
    try {
      for await (const moment of followProcess(this.#agent, origin, { signal })) {
        if (moment.case === "dropped") decoder.drop(moment.value);
        if (moment.case === "output") yield decoder.decode(moment.value);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Writes to standard input; resolves when the command has been handed all of it. */
  sendStdin(data: string | Uint8Array, options: CallOptions = {}): Promise<void> {
    return sendStdin(this.#agent, this.pid, data, options);
  }

  /** Closes standard input: the command reads its end. */
  closeStdin(options: CallOptions = {}): Promise<void> {
    return closeStdin(this.#agent, this.pid, options);
  }

  /** Signals the command and everything it started; `SIGKILL` when not given. */
  kill(signal: Signal = "SIGKILL", options: CallOptions = {}): Promise<void> {
    return sendSignal(this.#agent, this.pid, signal, options);
  }

  /** What the command wrote so far, without waiting for more. */
  getLogs(options: CallOptions = {}): Promise<CommandLogs> {
    return readLogs(this.#agent, this.pid, options);
  }

  /** Ends every loop and wait of this handle. The command runs on. */
  disconnect(): void {
    this.#disconnected.abort(new Error("the handle was disconnected"));
  }

  /** Same as {@link disconnect}: the command runs on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.disconnect();
  }

  #collect(options: Omit<BaseCommandOptions, "onStart">): Promise<CommandResult> {
    const { signal: outer, ...rest } = options;
    const signal = outer
      ? AbortSignal.any([outer, this.#disconnected.signal])
      : this.#disconnected.signal;
    const origin = { pid: this.pid, offset: this.#offset };
    return collectResult(this.#agent, origin, { ...rest, command: this.#command, signal });
  }
}
