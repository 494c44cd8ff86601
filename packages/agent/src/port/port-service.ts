import type { ServiceImpl } from "@connectrpc/connect";
import type { PortService } from "@nullspace/proto/agent";
import { listeningPorts } from "./listening.js";

/** Serves TCP ports of this machine, to the host; `Dial` is in dial-call.ts. */
export function portService(): Pick<ServiceImpl<typeof PortService>, "list"> {
  return {
    async list() {
      return { ports: await listeningPorts() };
    },
  };
}
