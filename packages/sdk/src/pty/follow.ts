import type { ProcessExit, PtyServiceConnectResponse } from "@nullspace/proto/agent";
import type { AgentConnection } from "../connection.js";
import { NullspaceError, UnavailableError } from "../errors.js";
import { delayMs, isTransient, pause, REATTACH_RETRIES } from "../retry.js";
import type { PtyExit, PtyOutput } from "./options.js";

/** What {@link followPty} takes. */
export interface FollowPtyOptions {
  sessionId: string;
  answersQueries: boolean;
  /** First byte of output wanted; the screen is painted when not given. */
  offset: bigint | undefined;
  signal: AbortSignal;
}

/**
 * Streams a session until its program ends. When the connection is lost it goes
 * on at the byte where it was, or with the screen painted anew.
 */
export async function* followPty(
  agent: AgentConnection,
  options: FollowPtyOptions,
): AsyncGenerator<PtyOutput, PtyExit, undefined> {
  const { sessionId, answersQueries, signal } = options;
  const decoder = newDecoder();
  let { offset } = options;
  for (let failures = 0; ; failures++) {
    try {
      const request = { sessionId, answersQueries, ...(offset !== undefined && { offset }) };
      for await (const { event } of agent.stream({ signal }, (attempt) =>
        agent.ptys.connect(request, attempt),
      )) {
        failures = 0;
        if (event.case === "exit") return exitOf(event.value);
        if (event.case === "screen") offset = event.value.offset;
        if (event.case === "output") offset = event.value.offset + BigInt(event.value.data.length);
        const output = outputOf(event, decoder);
        if (output !== undefined) yield output;
      }
      throw new UnavailableError("the stream ended before the session", {
        reason: "CONNECTION_LOST",
        retryable: true,
      });
    } catch (error) {
      await waitToRetry(error, failures, signal);
    }
  }
}

/** Resolves when what failed is to be tried again, or throws why not. */
export async function waitToRetry(
  error: unknown,
  failures: number,
  signal: AbortSignal,
): Promise<void> {
  const lost = error instanceof NullspaceError && isTransient(error);
  if (!lost || failures >= REATTACH_RETRIES.retries || signal.aborted) throw error;
  await pause(delayMs(REATTACH_RETRIES, failures, error), signal);
}

/** How a program ended, in the words of the SDK. */
export function exitOf(exit: ProcessExit | undefined): PtyExit {
  return { exitCode: exit?.exitCode ?? 0, signal: exit?.signal || undefined };
}

function outputOf(
  event: PtyServiceConnectResponse["event"],
  decoder: ReturnType<typeof newDecoder>,
): PtyOutput | undefined {
  switch (event.case) {
    case "screen": {
      const { data, size, skippedBytes } = event.value;
      // What was torn before belongs to a screen that is no more.
      decoder.decode();
      return {
        kind: "screen",
        data,
        text: decoder.decode(data, { stream: true }),
        size: size && { cols: size.cols, rows: size.rows },
        skippedBytes: Number(skippedBytes),
      };
    }
    case "output": {
      const { data } = event.value;
      const text = decoder.decode(data, { stream: true });
      return { kind: "output", data, text, size: undefined, skippedBytes: 0 };
    }
    case "resized": {
      const { cols, rows } = event.value;
      const size = { cols, rows };
      return { kind: "resize", data: new Uint8Array(), text: "", size, skippedBytes: 0 };
    }
    case "exit":
    case undefined:
    default:
      return undefined;
  }
}

function newDecoder() {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
