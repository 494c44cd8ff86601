import type { MessageInitShape } from "@bufbuild/protobuf";
import type { StartRequestSchema } from "@nullspace/proto/agent";
import type { AgentConnection } from "../connection.js";
import { InternalError, InvalidArgumentError } from "../errors.js";
import { collectResult } from "./collect.js";
import { followProcess } from "./follow.js";
import { CommandHandle } from "./handle.js";
import type { BaseCommandOptions, CommandOptions } from "./options.js";
import type { CommandResult } from "./result.js";
import { pumpStdin } from "./stdin.js";

type StartRequest = MessageInitShape<typeof StartRequestSchema>;

/** The request that starts `command` as `options` say. */
export function startRequest(command: string, options: CommandOptions): StartRequest {
  // JavaScript callers and wide types can say both, whatever our types say.
  if (Boolean(options.shell) && options.args !== undefined) {
    throw new InvalidArgumentError("shell and args exclude each other", {
      remedy: "Put the arguments into the line for the shell, or leave shell out.",
    });
  }
  return {
    command,
    args: [...(options.args ?? [])],
    exec: options.args !== undefined || options.shell === false,
    cwd: options.cwd ?? "",
    envs: options.envs ?? {},
    user: options.user ?? "",
    timeoutMs: options.timeoutMs ?? 0,
  };
}

/** Runs a command to its end. Whatever ends the call early ends the command too. */
export async function runForeground(
  agent: AgentConnection,
  command: string,
  options: CommandOptions,
): Promise<CommandResult> {
  const { stdin, onStart, signal: outer, ...rest } = options;
  const origin = { start: { ...startRequest(command, options), stdin: stdin !== undefined } };
  const ended = new AbortController();
  const signal = outer ? AbortSignal.any([outer, ended.signal]) : ended.signal;
  let feeding: Promise<void> | undefined;
  let feedFailure: { error: unknown } | undefined;
  try {
    return await collectResult(agent, origin, {
      ...rest,
      command,
      signal,
      foreground: true,
      onStart: (pid) => {
        onStart?.(pid);
        if (stdin === undefined) return;
        feeding = pumpStdin(agent, pid, stdin, signal).catch((error: unknown) => {
          feedFailure = { error };
          ended.abort(error);
        });
      },
    });
  } catch (error) {
    throw feedFailure === undefined ? error : feedFailure.error;
  } finally {
    ended.abort();
    await feeding;
  }
}

/** Starts a command that outlives this call and gives its handle. */
export async function runInBackground(
  agent: AgentConnection,
  command: string,
  options: CommandOptions,
): Promise<CommandHandle> {
  const start = { ...startRequest(command, options), stdin: true, background: true };
  const pid = await startedPid(agent, start, options);
  options.onStart?.(pid);
  const handle = new CommandHandle(agent, pid, command, 0);
  handle.attach(options);
  return handle;
}

/**
 * The stream is left as soon as the pid is known: nobody may ever read this
 * command's output, and an open stream that is not read would stop the command.
 */
async function startedPid(
  agent: AgentConnection,
  start: StartRequest,
  options: BaseCommandOptions,
): Promise<number> {
  const signal = options.signal ?? new AbortController().signal;
  const { requestTimeoutMs } = options;
  for await (const moment of followProcess(agent, { start }, { signal, requestTimeoutMs })) {
    if (moment.case === "started") return moment.value.pid;
  }
  throw new InternalError("the machine started a command without a pid");
}
