import type { ClientHttp2Session } from "node:http2";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { ProcessService } from "@nullspace/proto/agent";

/** Runs a program and gives its exit code. */
export type Run = (command: string, args: string[]) => Promise<number | undefined>;

/** Runs programs by an agent's socket itself. */
export function programsOf(session: ClientHttp2Session): Run {
  const processes = createClient(ProcessService, agentTransport(session));
  return async (command, args) => {
    let exitCode: number | undefined;
    for await (const { event } of processes.start({ command, args, exec: true })) {
      if (event?.event.case === "exit") exitCode = event.event.value.exitCode;
    }
    return exitCode;
  };
}

/** Calls on a session that is open. */
function agentTransport(session: ClientHttp2Session): Transport {
  return createConnectTransport({
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
}
