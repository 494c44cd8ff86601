import type { ClientHttp2Session } from "node:http2";
import { createClient } from "@connectrpc/connect";
import { ProcessService } from "@nullspace/proto/agent";
import { agentTransport } from "@nullspace/server/internal";

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
