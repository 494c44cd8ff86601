import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ProcessEvent, ProcessOutput, StartRequestSchema } from "@nullspace/proto/agent";
import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { NullspaceError, UnavailableError } from "../errors.js";
import { sharedDeadline } from "../resume.js";
import { delayMs, isTransient, pause, REATTACH_RETRIES } from "../retry.js";

/** How long a cancelled call waits for its command's end, in milliseconds. */
const KILL_TIMEOUT_MS = 5_000;

/** Where to begin: a process to start, or one that runs and the first byte of output wanted. */
export type Origin =
  | { start: MessageInitShape<typeof StartRequestSchema> }
  | { pid: number; offset: bigint };

/** What {@link followProcess} takes. */
export interface FollowOptions extends CallOptions {
  signal: AbortSignal;
  /** Leaving the loop before the exit kills the process. */
  foreground?: boolean;
}

/** What a process does, as the protocol tells it. */
export type ProcessMoment = Exclude<ProcessEvent["event"], { case: undefined }>;

/**
 * Streams a process from its origin to its exit. When only the connection is
 * lost the process goes on, so it is found again by its pid and the stream goes
 * on at the byte where it broke.
 */
export async function* followProcess(
  agent: AgentConnection,
  origin: Origin,
  options: FollowOptions,
): AsyncGenerator<ProcessMoment, void, undefined> {
  let pid = "pid" in origin ? origin.pid : undefined;
  let offset = "pid" in origin ? origin.offset : 0n;
  let attachments = 0;
  let lost = false;
  const attemptOptions = sharedDeadline(options);
  const attach = () => {
    attachments++;
    return agent.stream<{ event?: ProcessEvent | undefined }>(attemptOptions(), (attempt) =>
      pid === undefined && "start" in origin
        ? agent.processes.start(origin.start, attempt)
        : agent.processes.connect({ pid: pid ?? 0, offset }, attempt),
    );
  };
  let ended = false;

  try {
    for (let failures = 0; ; failures++) {
      try {
        for await (const { event } of attach()) {
          const moment = event?.event;
          if (moment?.case === undefined) continue;
          failures = 0;
          if (moment.case === "started") pid = moment.value.pid;
          if (moment.case === "output") offset = endOf(moment.value);
          if (moment.case === "dropped") offset = moment.value.offset + moment.value.bytes;
          ended = moment.case === "exit";
          yield moment;
          if (ended) return;
        }
        throw new UnavailableError("the stream ended before the command", {
          reason: "CONNECTION_LOST",
          retryable: true,
        });
      } catch (error) {
        lost = error instanceof NullspaceError && isTransient(error);
        const patient = failures < REATTACH_RETRIES.retries && !options.signal.aborted;
        // A start that never answered may or may not have happened: it is not repeated.
        if (pid === undefined || !lost || !patient) throw error;
        await pause(delayMs(REATTACH_RETRIES, failures, error), options.signal);
      }
    }
  } finally {
    // The server ends a command whose Start is cancelled, but of a later
    // attachment it cannot know that it was the command's last reader.
    const orphaned = options.foreground === true && attachments > 1 && !ended;
    if (orphaned && pid !== undefined && (!lost || options.signal.aborted)) {
      await killProcess(agent, pid);
    }
  }
}

function endOf(output: ProcessOutput): bigint {
  return output.offset + BigInt(output.data.length);
}

async function killProcess(agent: AgentConnection, pid: number): Promise<void> {
  try {
    await agent.unary(
      { requestTimeoutMs: KILL_TIMEOUT_MS },
      (attempt) => agent.processes.sendSignal({ pid, signal: "SIGKILL" }, attempt),
      { idempotent: true },
    );
  } catch (error) {
    // The caller is told of the failure that led here, not of this one.
    if (!(error instanceof NullspaceError)) throw error;
  }
}
