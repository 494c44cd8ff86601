import type { ClientHttp2Session } from "node:http2";
import { type Client, createClient } from "@connectrpc/connect";
import { FileService } from "@nullspace/proto/agent";
import { agentTransport } from "../../channel/agent-transport.js";

/** The files of one machine. */
export type AgentFiles = Client<typeof FileService>;

/** A client on a session that is open already. */
export function agentFiles(session: ClientHttp2Session): AgentFiles {
  return createClient(FileService, agentTransport(session));
}
