import { once } from "node:events";
import { type ClientRequestArgs, type IncomingMessage, request as requestHttp } from "node:http";
import type { ClientHttp2Session } from "node:http2";
import { createClient } from "@connectrpc/connect";
import { PortService } from "@nullspace/proto/agent";
import { agentTransport } from "../agent-transport.js";
import { openTunnel } from "../tunnel/port-tunnel.js";
import { serviceFailure } from "./relay-request.js";

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
  readonly #connectAgent: (machineId: string, signal: AbortSignal) => Promise<ClientHttp2Session>;

  constructor(
    connectAgent: (machineId: string, signal: AbortSignal) => Promise<ClientHttp2Session>,
  ) {
    this.#connectAgent = connectAgent;
  }

  async look(target: Look, signal: AbortSignal): Promise<{ status: number }> {
    const { machineId, port, path, host, waitMs } = target;
    const session = await this.#connectAgent(machineId, signal);
    const tunnel = await openTunnel(session, { port, waitMs }, signal);
    try {
      if (path === "") return { status: 0 };
      const options: ClientRequestArgs = {
        createConnection: () => tunnel,
        path,
        headers: { host, connection: "close", accept: "*/*" },
        signal,
      };
      const sent = requestHttp(options).end();
      const [answer] = (await once(sent, "response")) as [IncomingMessage];
      sent.on("error", () => undefined);
      answer.on("error", () => undefined);
      answer.destroy();
      return { status: answer.statusCode ?? 0 };
    } catch (error) {
      signal.throwIfAborted();
      throw serviceFailure(error);
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
