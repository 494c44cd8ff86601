import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { MACHINE_ID_HEADER } from "@nullspace/proto";
import { ProcessService } from "@nullspace/proto/agent";
import type { FakeServer } from "../../../sdk/src/testing/fake-server.js";

/** Starts a process in a machine, which goes on by itself, and gives its pid. */
export async function startProcess(
  server: FakeServer,
  machineId: string,
  request: { command: string; cwd: string },
): Promise<number> {
  const transport = createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" });
  const headers = { Authorization: `Bearer ${server.apiKey}`, [MACHINE_ID_HEADER]: machineId };
  const client = createClient(ProcessService, transport);
  for await (const { event } of client.start({ ...request, background: true }, { headers })) {
    if (event?.event.case === "started") return event.event.value.pid;
  }
  throw new Error("the process was not started");
}
