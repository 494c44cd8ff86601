import { randomBytes } from "node:crypto";
import { CHANNEL_NONCE_BYTES } from "@nullspace/proto/channel";
import { adopt } from "../agent/adoption.js";
import { linkAgent } from "../agent/agent-link.js";
import { ClockLead } from "../agent/clock-lead.js";
import { systemClient } from "../agent/system-client.js";
import { callOptions, type Deadline } from "../deadline.js";
import type { HostedMachine } from "../machines/hosted-machine.js";
import { AGENT_SOCKET } from "../qemu/command-line.js";
import { connectUnix } from "../unix-socket.js";

/** As few as the agent's own warming up needs, and for the same reason. */
const ROUNDS = 4;

/**
 * Goes with a guest that is to be captured the way that each machine made of it goes: a session
 * on its channel, an adoption meanwhile, a first call. What runs for the first time writes
 * memory, for what it compiles and remembers; done here, no machine has to. The agent listens for
 * the last adoption's key afterwards; the identity is nobody's, and every machine gets another.
 *
 * @throws as `adopt` and `linkAgent` do.
 */
export async function rehearseStarts(machine: HostedMachine, deadline: Deadline): Promise<void> {
  const { helper, agent, directory } = machine;
  const lead = new ClockLead();
  // An agent that is still starting would not hear of an adoption.
  await systemClient(await agent.session(deadline)).ping({}, callOptions(deadline));
  agent.drop();
  for (let round = 1; round <= ROUNDS; round++) {
    const name = `rehearsal-${round}`;
    const identity = { machineId: name, hostname: name, cwd: "", generation: 0n };
    const nonce = randomBytes(CHANNEL_NONCE_BYTES);
    const socket = await connectUnix(directory.path, AGENT_SOCKET, deadline);
    const [link, { channelKey }] = await Promise.all([
      linkAgent(socket, agent.key, deadline, nonce),
      adopt({ helper, nonce, lead }, identity, deadline),
    ]);
    try {
      await systemClient(link.session).ping({}, callOptions(deadline));
      agent.key = channelKey;
    } finally {
      link.close();
      await link.closed;
    }
  }
}
