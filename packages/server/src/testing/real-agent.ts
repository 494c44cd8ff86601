import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { ClientHttp2Session } from "node:http2";
import { connect, type Socket } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { Channel, channelProgram, helperProgram, runAgent } from "@nullspace/agent";
import { BOOT_CHANNEL_KEY } from "@nullspace/proto/channel";
import { type AgentLink, linkAgent } from "../host/agent/agent-link.js";

/** The agent that runs in machines, on this computer, with a link to it as a host has. */
export class RealAgent implements AsyncDisposable {
  /** A scratch folder, which the agent sees as well: relative paths start here. */
  readonly folder: string;
  readonly #socket: Socket;
  readonly #link: AgentLink;
  readonly #stop: () => Promise<void>;

  private constructor(folder: string, socket: Socket, link: AgentLink, stop: () => Promise<void>) {
    this.folder = folder;
    this.#socket = socket;
    this.#link = link;
    this.#stop = stop;
  }

  static async start(): Promise<RealAgent> {
    const top = mkdtempSync(join(tmpdir(), "server-agent-"));
    const folder = join(top, "workspace");
    const stateFolder = join(top, "state");
    for (const path of [folder, stateFolder]) mkdirSync(path);
    // What the helper keeps of an adoption.
    const machine = { machineId: "m1", hostname: "m1", envs: {}, cwd: folder, generation: "1" };
    const kept = JSON.stringify({ ...machine, keepEnvironment: false });
    writeFileSync(join(stateFolder, "machine.json"), kept);
    const socketPath = join(top, "agent.sock");
    const channel = await Channel.open({
      program: channelProgram(),
      port: socketPath,
      folder: join(top, "channel"),
    });
    const stop = new AbortController();
    const defects: unknown[] = [];
    const options = {
      channel,
      stateFolder,
      helperProgram: helperProgram(),
      defaultUser: userInfo().username,
      sandboxed: true,
      onDefect: (defect: unknown) => defects.push(defect),
    };
    const running = runAgent(options, stop.signal);
    const socket = connect(socketPath);
    await once(socket, "connect");
    const link = await linkAgent(socket, BOOT_CHANNEL_KEY, { timeoutMs: 10_000 });
    return new RealAgent(folder, socket, link, async () => {
      link.close();
      stop.abort();
      await running;
      await channel[Symbol.asyncDispose]();
      rmSync(top, { recursive: true });
      if (defects.length > 0) throw new AggregateError(defects, "the agent had defects");
    });
  }

  get session(): ClientHttp2Session {
    return this.#link.session;
  }

  /** Bytes that came from the agent so far. */
  get receivedBytes(): number {
    return this.#socket.bytesRead;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }
}
