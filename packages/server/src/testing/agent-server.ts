import type { ServerOptions } from "../server.js";
import { FakeHost } from "./fake-host.js";
import { RealAgent } from "./real-agent.js";
import { startTestServer, type TestServer } from "./server.js";

/** A server whose machines are all one real agent on this computer. */
export interface AgentServer extends TestServer {
  readonly agent: RealAgent;
}

/** Starts a server and an agent. */
export async function startAgentServer(options: Partial<ServerOptions> = {}): Promise<AgentServer> {
  const agent = await RealAgent.start();
  const host = new FakeHost();
  const server = await startTestServer({
    openHost: async () => ({
      service: host.service,
      connectAgent: async () => agent.session,
      [Symbol.asyncDispose]: () => host.hangUp(),
    }),
    ...options,
  });
  return {
    ...server,
    agent,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await host[Symbol.asyncDispose]();
      await agent[Symbol.asyncDispose]();
    },
  };
}
