import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { EgressMode, type EgressPolicy, EgressPolicySchema } from "@nullspace/proto";
import type { MachineManifest, MachineNetworkSchema } from "@nullspace/proto/host";
import { Turns } from "../../domain/turns.js";
import type { Deadline } from "../deadline.js";
import type { MachineNetworks } from "../network/machine-networks.js";
import type { AdoptedMachine } from "./hosted-machine.js";
import { linkDown, linkUp } from "./network-link.js";

/** What a machine's record says of its network. */
export type NetworkNote = MessageInitShape<typeof MachineNetworkSchema>;

/** What changes of policies work with. */
export interface MachineEgressParts {
  networks: MachineNetworks;
  /** @throws Fault MACHINE_NOT_RUNNING */
  running: (id: string) => AdoptedMachine;
  /** Notes a running machine's network for a later server. @throws Fault MACHINE_NOT_RUNNING */
  note: (id: string, network: NetworkNote | undefined) => Promise<void>;
}

/** Puts policies in force for running machines: of each machine one after the other. */
export class MachineEgress {
  readonly #parts: MachineEgressParts;
  readonly #turns = new Turns();

  constructor(parts: MachineEgressParts) {
    this.#parts = parts;
  }

  /**
   * Puts a policy in force for a running machine, and gives it a network if it had none.
   *
   * @throws Fault MACHINE_NOT_RUNNING, NETWORK_UNAVAILABLE, NETWORK_SETUP_FAILED,
   * EGRESS_NOT_APPLIED: then it reaches nothing.
   */
  async update(id: string, policy: EgressPolicy, deadline: Deadline): Promise<void> {
    await this.#turns.run(id, async () => {
      const adopted = this.#parts.running(id);
      const isOpen = policy.mode !== EgressMode.DENY_ALL;
      if (!isOpen) await linkDown(adopted.machine, deadline);
      if (this.#parts.networks.has(id)) await this.#change(adopted, policy, deadline);
      else if (isOpen) await this.#give(adopted, policy, deadline);
      if (isOpen) await linkUp(adopted.machine, deadline);
    });
  }

  /** Removes a machine's network, after a change in progress, which would give it one anew. */
  async end(id: string): Promise<void> {
    await this.#turns.run(id, () => this.#parts.networks.disconnect(id));
  }

  async #change(adopted: AdoptedMachine, policy: EgressPolicy, deadline: Deadline): Promise<void> {
    const { networks, note } = this.#parts;
    const { id } = adopted.machine;
    const slot = adopted.manifest.network?.slot ?? 0;
    try {
      await networks.update(id, policy);
    } catch (error) {
      await linkDown(adopted.machine, deadline);
      await note(id, { slot });
      throw error;
    }
    await note(id, { slot, egress: policy });
  }

  async #give(adopted: AdoptedMachine, policy: EgressPolicy, deadline: Deadline): Promise<void> {
    const { networks, note } = this.#parts;
    const { id, qemu, directory } = adopted.machine;
    try {
      const { slot } = await networks.take(id, policy);
      await note(id, { slot, egress: policy });
      await networks.attach(id, { pid: qemu.process.pid, directory: directory.path }, deadline);
    } catch (error) {
      await networks.disconnect(id);
      await note(id, undefined);
      throw error;
    }
  }
}

/** The policy that holds for a running machine; none while it could not be applied. */
export function policyOf(manifest: MachineManifest | undefined): { egress?: EgressPolicy } {
  // One that never had a network reaches nothing.
  if (manifest?.network === undefined) {
    return { egress: create(EgressPolicySchema, { mode: EgressMode.DENY_ALL }) };
  }
  const { egress } = manifest.network;
  return egress === undefined ? {} : { egress };
}
