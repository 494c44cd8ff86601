import type { ClientHttp2Session } from "node:http2";
import { type Client, createClient } from "@connectrpc/connect";
import { SystemService } from "@nullspace/proto/agent";
import { agentTransport } from "../../channel/agent-transport.js";

/** The agent's SystemService, which only the host may call. */
export type SystemClient = Client<typeof SystemService>;

/** A client on a session that is open already. */
export function systemClient(session: ClientHttp2Session): SystemClient {
  return createClient(SystemService, agentTransport(session));
}
