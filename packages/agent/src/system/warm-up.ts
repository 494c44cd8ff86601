import { once } from "node:events";
import { connect } from "node:http2";
import { duplexPair } from "node:stream";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { FileService, ProcessService, SystemService } from "@nullspace/proto/agent";
import type { ProcessTable } from "../process/process-table.js";
import type { Http2Endpoint } from "../rpc/http2-endpoint.js";

/** Enough for the engine to have seen each path and compiled what is hot. */
const ROUNDS = 40;
const PART = new Uint8Array(4096);

/** What is warmed up. */
export interface WarmUpParts {
  endpoint: Http2Endpoint;
  table: ProcessTable;
  /** A folder to write a file to. */
  folder: string;
  user: string;
}

/**
 * Calls the agent's own services over a connection to itself. What is captured
 * afterwards has the code of a call compiled, so the first command of a machine
 * costs no more than its hundredth.
 */
export async function warmUp({ endpoint, table, folder, user }: WarmUpParts): Promise<void> {
  const [near, far] = duplexPair();
  endpoint.accept(far);
  const session = connect("http://agent", { createConnection: () => near });
  try {
    const transport = createConnectTransport({
      httpVersion: "2",
      baseUrl: "http://agent",
      sessionManager: {
        authority: "http://agent",
        request: async (method, path, headers, options) =>
          session.request({ ...headers, ":method": method, ":path": path }, options),
        notifyResponseByteRead: () => undefined,
      },
    });
    const system = createClient(SystemService, transport);
    const processes = createClient(ProcessService, transport);
    const files = createClient(FileService, transport);
    const path = join(folder, "warm-up");
    for (let round = 0; round < ROUNDS; round++) {
      await system.ping({});
      const events = processes.start({ command: "echo", args: ["warm"], exec: true, user });
      for await (const event of events) void event;
      await files.write({ path, data: PART });
      for await (const part of files.read({ path })) void part;
    }
    await files.remove({ path });
  } finally {
    session.close();
    await once(session, "close");
    table.forgetEnded();
  }
}
