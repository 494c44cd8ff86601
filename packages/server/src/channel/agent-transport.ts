import type { ClientHttp2Session } from "node:http2";
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

/** Calls to an agent on a session that is open already. */
export function agentTransport(session: ClientHttp2Session): Transport {
  return createConnectTransport({
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
}
