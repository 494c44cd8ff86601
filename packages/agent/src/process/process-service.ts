import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import type { ProcessService } from "@nullspace/proto/agent";
import { connectionLost } from "../rpc/connection.js";
import type { GuestProcess } from "./guest-process.js";
import type { ProcessTable } from "./process-table.js";
import { signalNumber } from "./signals.js";

/** Serves the processes of a table. */
export function processService(table: ProcessTable): ServiceImpl<typeof ProcessService> {
  return {
    async *start(request, context) {
      const process = await table.start(request);
      if (!request.background) endWithCall(process, context);
      yield { event: { event: { case: "started", value: { pid: process.pid } } } };
      for await (const event of follow(process, 0, context)) yield { event };
    },

    async *connect({ pid, offset }, context) {
      for await (const event of follow(table.get(pid), Number(offset), context)) yield { event };
    },

    list() {
      return { processes: table.list().map((process) => process.describe()) };
    },

    async sendInput({ pid, data }) {
      await table.get(pid).sendInput(data);
      return {};
    },

    closeInput({ pid }) {
      table.get(pid).closeInput();
      return {};
    },

    sendSignal({ pid, signal }) {
      table.get(pid).signal(signalNumber(signal));
      return {};
    },
  };
}

/**
 * Terminates the process when its caller cancels or its deadline passes. The
 * loss of the connection is neither: the process goes on and can be found.
 */
function endWithCall(process: GuestProcess, { signal, values }: HandlerContext): void {
  const end = () => {
    if (!values.get(connectionLost)()) process.terminate();
  };
  if (signal.aborted) end();
  else signal.addEventListener("abort", end);
}

async function* follow(process: GuestProcess, offset: number, { signal, values }: HandlerContext) {
  try {
    yield* process.follow(offset, signal, values.get(connectionLost));
  } catch (error) {
    if (!signal.aborted || error instanceof ConnectError) throw error;
    throw new ConnectError("the caller has gone", Code.Canceled);
  }
}
