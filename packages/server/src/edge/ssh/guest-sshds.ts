import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import { SshdService } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import { agentTransport } from "../../channel/agent-transport.js";
import { type ConnectAgent, unreachable } from "../connect-agent.js";

/** How long a machine may take to get its sshd ready. */
const PREPARE_TIMEOUT_MS = 60_000;

/** What a machine's sshd is told. */
export interface Admission {
  readonly authority: string;
  readonly principal: string;
}

/** The sshd of each machine, by way of its agent. */
export class GuestSshds {
  readonly #connectAgent: ConnectAgent;

  /** @param connectAgent The live HTTP/2 session to a machine's agent. */
  constructor(connectAgent: ConnectAgent) {
    this.#connectAgent = connectAgent;
  }

  /**
   * Gets a machine's sshd ready.
   *
   * @returns The host key, as the machine tells it.
   * @throws Fault SSH_UNAVAILABLE, AGENT_UNREACHABLE.
   */
  async prepare(machineId: string, admission: Admission, signal: AbortSignal): Promise<string> {
    const deadline = AbortSignal.timeout(PREPARE_TIMEOUT_MS);
    const ended = AbortSignal.any([signal, deadline]);
    try {
      const session = await this.#connectAgent(machineId, ended);
      const sshd = createClient(SshdService, agentTransport(session));
      const { hostKey } = await sshd.prepare({ ...admission }, { signal: ended });
      return hostKey;
    } catch (error) {
      if (deadline.aborted) throw unreachable("the machine's agent does not answer", error);
      if (error instanceof ConnectError && error.code === Code.Unimplemented) {
        throw new Fault(
          ErrorReason.SSH_UNAVAILABLE,
          "the machine's agent is of a version that knows no SSH",
          {
            remedy: "Create the machine from a template or snapshot of this version.",
            cause: error,
          },
        );
      }
      throw error;
    }
  }
}
