import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { runAgent } from "../agent.js";
import { Channel } from "../channel/channel.js";
import { channelProgram, helperProgram } from "../helper/program.js";
import { dial, type Host } from "./dial.js";

/** An agent in this process, in a scratch folder of its own. */
export interface TestAgent extends AsyncDisposable {
  folder: string;
  socket: string;
  /** What went wrong inside it that was nobody's fault but its own. */
  defects: unknown[];
  dial(key?: Uint8Array): Promise<Host>;
}

export async function startTestAgent(): Promise<TestAgent> {
  const folder = await mkdtemp(join(tmpdir(), "nullspace-agent-"));
  const socket = join(folder, "agent.sock");
  const stop = new AbortController();
  const defects: unknown[] = [];
  const channel = await Channel.open({
    program: channelProgram(),
    port: socket,
    folder: join(folder, "channel"),
  });
  const running = runAgent(
    {
      channel,
      stateFolder: join(folder, "state"),
      helperProgram: helperProgram(),
      defaultUser: userInfo().username,
      sandboxed: true,
      onDefect: (error) => defects.push(error),
    },
    stop.signal,
  );
  return {
    folder,
    socket,
    defects,
    dial: (key) => dial(socket, key),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      if (defects.length > 0) throw new AggregateError(defects, "the agent had defects");
      await channel[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}
