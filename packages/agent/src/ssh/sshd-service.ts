import type { ServiceImpl } from "@connectrpc/connect";
import type { SshdService } from "@nullspace/proto/agent";
import type { Sshd } from "./sshd.js";

/** Serves the machine's OpenSSH server, to the host. */
export function sshdService(sshd: Sshd): ServiceImpl<typeof SshdService> {
  return {
    async prepare(request) {
      const { hostKey } = await sshd.prepare(request);
      return { hostKey };
    },
  };
}
