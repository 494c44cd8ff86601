import type { ClientHttp2Session } from "node:http2";
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { callAgent } from "./agent-call.js";
import { agentFaults } from "./agent-fault.js";

/** Above the longest answer of an agent to us: lists of its ports, and parts of files. */
const MOST_MESSAGE_BYTES = 2 << 20;

/** Calls to an agent on a session that is open already. They fail as a Fault says. */
export function agentTransport(session: ClientHttp2Session): Transport {
  return createConnectTransport({
    httpVersion: "2",
    baseUrl: "http://agent",
    readMaxBytes: MOST_MESSAGE_BYTES,
    interceptors: [agentFaults],
    // The channel is memory, not a network.
    acceptCompression: [],
    compressMinBytes: Number.POSITIVE_INFINITY,
    sessionManager: {
      authority: "http://agent",
      request: (method, path, headers, options) =>
        Promise.resolve(
          callAgent(session, { ...headers, ":method": method, ":path": path }, options),
        ),
      notifyResponseByteRead: () => undefined,
    },
  });
}
