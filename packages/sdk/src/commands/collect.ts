import type { ProcessExit } from "@nullspace/proto/agent";
import type { AgentConnection } from "../connection.js";
import { followProcess, type Origin } from "./follow.js";
import { type BaseCommandOptions, DEFAULT_MAX_OUTPUT_BYTES } from "./options.js";
import { type CommandOutput, OutputDecoder, TailBuffer } from "./output.js";
import { type CommandEnd, CommandResult } from "./result.js";

/** Whom the output of a command is told to, besides the result. */
export type OutputListeners = Pick<BaseCommandOptions, "onStdout" | "onStderr" | "onOutput">;

/** What {@link collectResult} takes. */
export interface CollectOptions extends OutputListeners {
  /** The command, for the messages of errors. */
  command: string;
  signal: AbortSignal;
  requestTimeoutMs?: number | undefined;
  maxOutputBytes?: number | undefined;
  /** Leaving early kills the process. */
  foreground?: boolean;
  onStart?: (pid: number) => void;
}

/**
 * Follows a process to its end, tells the listeners and keeps the output. The
 * next piece is read only when the listeners are done with the one before, so
 * a slow listener slows the process.
 */
export async function collectResult(
  agent: AgentConnection,
  origin: Origin,
  options: CollectOptions,
): Promise<CommandResult> {
  const maxBytes = options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
  const kept = { stdout: new TailBuffer(maxBytes), stderr: new TailBuffer(maxBytes) };
  const decoder = new OutputDecoder();
  let droppedBytes = 0;

  for await (const moment of followProcess(agent, origin, options)) {
    switch (moment.case) {
      case "started":
        options.onStart?.(moment.value.pid);
        break;
      case "dropped":
        decoder.drop(moment.value);
        droppedBytes += Number(moment.value.bytes);
        break;
      case "output": {
        const output = decoder.decode(moment.value);
        kept[output.stream].push(output.data);
        await tell(options, output);
        break;
      }
      case "exit": {
        const rest = decoder.end();
        if (rest.stdout !== "") await options.onStdout?.(rest.stdout);
        if (rest.stderr !== "") await options.onStderr?.(rest.stderr);
        return new CommandResult(options.command, endOf(moment.value), {
          stdout: kept.stdout.concat(),
          stderr: kept.stderr.concat(),
          droppedBytes: droppedBytes + kept.stdout.droppedBytes + kept.stderr.droppedBytes,
        });
      }
    }
  }
  throw new Error("a process was followed beyond its end");
}

async function tell(listeners: OutputListeners, output: CommandOutput): Promise<void> {
  await listeners.onOutput?.(output);
  if (output.text === "") return;
  if (output.stream === "stdout") await listeners.onStdout?.(output.text);
  else await listeners.onStderr?.(output.text);
}

/** How a process ended, in the words of the SDK. */
export function endOf(exit: ProcessExit): CommandEnd {
  return {
    exitCode: exit.exitCode,
    signal: exit.signal || undefined,
    timedOut: exit.timedOut,
  };
}
