import { type ClientRequest, type ClientRequestArgs, request as requestHttp } from "node:http";
import { createClient } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { PortService } from "@nullspace/proto/agent";
import { agentTransport } from "../../channel/agent-transport.js";
import type { ConnectAgent } from "../connect-agent.js";
import { openTunnel } from "../tunnel/port-tunnel.js";
import { serviceFailure } from "./relay-request.js";

/** For an answer to a request that is sent as time runs out, in milliseconds. */
const LEAST_ANSWER_MS = 50;

/** What to look at. */
export interface Look {
  readonly machineId: string;
  readonly port: number;
  /** Of a request; a connection is enough when empty. */
  readonly path: string;
  readonly host: string;
  readonly waitMs: number;
}

/** Looks at services in machines, as previews reach them. */
export class Probe {
  readonly #connectAgent: ConnectAgent;

  constructor(connectAgent: ConnectAgent) {
    this.#connectAgent = connectAgent;
  }

  async look(target: Look, signal: AbortSignal): Promise<{ status: number }> {
    const { machineId, port, path, host, waitMs } = target;
    const deadline = performance.now() + waitMs;
    const session = await this.#connectAgent(machineId, signal);
    const tunnel = await openTunnel(session, { port, waitMs }, signal);
    const silent = AbortSignal.timeout(
      Math.max(LEAST_ANSWER_MS, Math.ceil(deadline - performance.now())),
    );
    try {
      if (path === "") return { status: 0 };
      const options: ClientRequestArgs = {
        createConnection: () => tunnel,
        path,
        headers: { host, connection: "close", accept: "*/*" },
        signal: AbortSignal.any([signal, silent]),
      };
      return { status: await statusOf(requestHttp(options)) };
    } catch (error) {
      signal.throwIfAborted();
      if (!silent.aborted) throw serviceFailure(error);
      throw new Fault(ErrorReason.PREVIEW_SERVICE_NOT_READY, "the service does not answer", {
        remedy: "Look at the log of the program that listens there.",
        cause: error,
      });
    } finally {
      tunnel.destroy();
    }
  }

  async listening(
    machineId: string,
    signal: AbortSignal,
  ): Promise<readonly { port: number; process: string }[]> {
    const session = await this.#connectAgent(machineId, signal);
    const { ports } = await createClient(PortService, agentTransport(session)).list({}, { signal });
    return ports;
  }
}

/** The status of a request's answer, of which no body is read. */
async function statusOf(sent: ClientRequest): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  sent.on("response", (answer) => {
    resolve(answer.statusCode ?? 0);
    answer.on("error", () => undefined);
    answer.destroy();
  });
  // What it tells when its answer is given up is told to nobody.
  sent.on("error", reject);
  sent.end();
  return promise;
}
