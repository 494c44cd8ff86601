import { userInfo } from "node:os";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { OutputStream, StartRequestSchema } from "@nullspace/proto/agent";
import type { ProcessTable } from "./process-table.js";

/** What is kept of a tool's standard error: enough for its complaint. */
const MOST_COMPLAINT = 16 << 10;

/** How a tool ended. */
export interface ToolEnd {
  exitCode: number;
  /** The beginning of its standard error. */
  complaint: string;
}

/**
 * Runs a program for the agent's own purposes, as the agent's own user, and
 * gives its standard output as it comes. While the consumer is slow, it waits.
 * Leaving the loop, or the signal, ends it.
 *
 * @throws Fault PROCESS_START_FAILED; the signal's reason.
 */
export async function* runTool(
  table: ProcessTable,
  request: MessageInitShape<typeof StartRequestSchema>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, ToolEnd> {
  const { username: user } = userInfo();
  const start = create(StartRequestSchema, { exec: true, user, ...request });
  const process = await table.start(start, { listed: false });
  let complaint = "";
  try {
    for await (const { event } of process.follow(0, signal)) {
      if (event?.case === "exit") return { exitCode: event.value.exitCode ?? 0, complaint };
      if (event?.case !== "output" || event.value.data === undefined) continue;
      const data = Buffer.from(event.value.data);
      if (event.value.stream === OutputStream.STDOUT) yield data;
      else if (complaint.length < MOST_COMPLAINT) complaint += data.toString();
    }
    throw new Error("a tool's output ended before the tool");
  } finally {
    if (!process.exited) process.terminate();
  }
}
