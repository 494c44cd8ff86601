import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import type { DialOpen, DialRequest, PortService } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import { dialPort } from "./dialing.js";
import { listeningPorts } from "./listening.js";
import { relay } from "./relay.js";

/** Serves TCP ports of this machine, to the host. */
export function portService(): ServiceImpl<typeof PortService> {
  return {
    async *dial(requests, { signal }) {
      try {
        const iterator = requests[Symbol.asyncIterator]();
        const { port, host, waitMs } = await readOpen(iterator);
        yield* relay(await dialPort(port, host, waitMs, signal), iterator, signal);
      } catch (error) {
        if (!signal.aborted || error instanceof ConnectError) throw error;
        throw new ConnectError("the caller has gone", Code.Canceled);
      }
    },

    async list() {
      return { ports: await listeningPorts() };
    },
  };
}

async function readOpen(requests: AsyncIterator<DialRequest>): Promise<DialOpen> {
  const first = await requests.next();
  if (first.done !== true && first.value.message.case === "open") return first.value.message.value;
  throw new Fault(ErrorReason.INVALID_ARGUMENT, "the first request is not open", {
    remedy: "Send the port first.",
  });
}
