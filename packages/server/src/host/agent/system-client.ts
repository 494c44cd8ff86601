import type { ClientHttp2Session } from "node:http2";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { SystemService } from "@nullspace/proto/agent";

/** The agent's SystemService, which only the host may call. */
export type SystemClient = Client<typeof SystemService>;

/** A client on a session that is open already. */
export function systemClient(session: ClientHttp2Session): SystemClient {
  const transport = createConnectTransport({
    httpVersion: "2",
    baseUrl: "http://agent",
    acceptCompression: [],
    sessionManager: {
      authority: "http://agent",
      request: (method, path, headers, options) =>
        Promise.resolve(session.request({ ...headers, ":method": method, ":path": path }, options)),
      notifyResponseByteRead: () => undefined,
    },
  });
  return createClient(SystemService, transport);
}
