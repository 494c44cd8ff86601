import type { ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import type { PortService } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import { dialPort } from "./dialing.js";
import { listeningPorts } from "./listening.js";
import { relay } from "./relay.js";

/** Serves TCP ports of this machine, to the host. */
export function portService(): ServiceImpl<typeof PortService> {
  return {
    async *dial(requests, { signal }) {
      const iterator = requests[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (first.done === true || first.value.message.case !== "open") {
        throw new Fault(ErrorReason.INVALID_ARGUMENT, "the first request is not open", {
          remedy: "Send the port first.",
        });
      }
      const { port, host } = first.value.message.value;
      yield* relay(await dialPort(port, host, signal), iterator, signal);
    },

    async list() {
      return { ports: await listeningPorts() };
    },
  };
}
