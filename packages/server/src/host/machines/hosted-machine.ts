import { ConnectError } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { MachineManifest } from "@nullspace/proto/host";
import { AgentConnection } from "../agent/agent-connection.js";
import type { HelperPort } from "../agent/helper-port.js";
import { systemClient } from "../agent/system-client.js";
import type { GuestUser } from "../confinement/user-pool.js";
import { callOptions, type Deadline } from "../deadline.js";
import { AGENT_PORT_ID } from "../qemu/command-line.js";
import type { RunningQemu } from "../qemu/running-qemu.js";
import type { MachineDirectory } from "./machine-directory.js";

/** A machine whose QEMU runs, and the way to its agent. */
export class HostedMachine {
  readonly user: GuestUser | undefined;
  readonly qemu: RunningQemu;
  readonly agent: AgentConnection;
  readonly helper: HelperPort;
  /** Nodes of the disks that it went on with after its captures, by snapshot; of those of this server. */
  readonly overlays = new Map<string, string>();
  #isSettled = false;
  #id: string;
  #directory: MachineDirectory;

  /** @param channelKey - the key that the guest listens for at the moment. */
  constructor(
    id: string,
    directory: MachineDirectory,
    user: GuestUser | undefined,
    qemu: RunningQemu,
    helper: HelperPort,
    channelKey: Uint8Array,
  ) {
    this.#id = id;
    this.#directory = directory;
    this.user = user;
    this.qemu = qemu;
    this.helper = helper;
    this.agent = new AgentConnection(id, directory.path, channelKey);
    // An agent that ended has left its session: nothing will answer in it any more.
    qemu.qmp.on("VSERPORT_CHANGE", (port) => {
      if (port.id === AGENT_PORT_ID && !port.open) this.agent.drop();
    });
  }

  get id(): string {
    return this.#id;
  }

  get directory(): MachineDirectory {
    return this.#directory;
  }

  /** Notes that the machine has got its own name, and its folder with it. */
  rename(id: string, directory: MachineDirectory): void {
    this.#id = id;
    this.#directory = directory;
    this.agent.rename(id, directory.path);
  }

  /**
   * Waits until the guest's agent has taken its adoption over, and with it the key that a
   * record of the machine names: it answers no call before.
   *
   * @throws Fault AGENT_UNREACHABLE, DeadlineError, or the reason of the signal.
   */
  async settle(deadline: Deadline): Promise<void> {
    if (this.#isSettled || this.agent.isAdopted) return;
    const system = systemClient(await this.agent.session(deadline));
    try {
      await system.ping({}, callOptions(deadline));
    } catch (cause) {
      // A session that is lost ends its calls as if somebody had cancelled them.
      if (!(cause instanceof ConnectError) || deadline.signal?.aborted === true) throw cause;
      throw new Fault(
        ErrorReason.AGENT_UNREACHABLE,
        `the agent of machine ${this.id} does not answer: ${cause.rawMessage}`,
        { remedy: "Try again in a moment.", cause },
      );
    }
    this.#isSettled = true;
  }

  /** Lets go of the machine, which goes on. */
  async release(): Promise<void> {
    this.agent[Symbol.dispose]();
    this.helper[Symbol.dispose]();
    await this.qemu.qmp[Symbol.asyncDispose]();
  }
}

/** A machine that has been adopted, with its record. */
export interface AdoptedMachine {
  machine: HostedMachine;
  manifest: MachineManifest;
}
