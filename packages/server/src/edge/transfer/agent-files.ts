import type { ClientHttp2Session } from "node:http2";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { FileService } from "@nullspace/proto/agent";

/** The files of one machine. */
export type AgentFiles = Client<typeof FileService>;

/** A client on a session that is open already. */
export function agentFiles(session: ClientHttp2Session): AgentFiles {
  const transport = createConnectTransport({
    httpVersion: "2",
    baseUrl: "http://agent",
    // The channel is memory, not a network.
    acceptCompression: [],
    compressMinBytes: Number.POSITIVE_INFINITY,
    sessionManager: {
      authority: "http://agent",
      request: (method, path, headers, options) =>
        Promise.resolve(session.request({ ...headers, ":method": method, ":path": path }, options)),
      notifyResponseByteRead: () => undefined,
    },
  });
  return createClient(FileService, transport);
}
