import { type EgressPolicy, ErrorReason } from "@nullspace/proto";
import type { HostMachine } from "@nullspace/proto/host";
import { checkEgress, isSameEgress } from "./egress-policy.js";
import { reasonOf } from "./failure.js";
import { machineNotRunning } from "./faults.js";
import { HOST_DEADLINES_MS, type HostClient } from "./host.js";
import type { Lifecycle } from "./lifecycle.js";
import { localMachine } from "./local-machine.js";
import type { Machine } from "./machine.js";
import type { MachineStore } from "./machine-store.js";
import { Turns } from "./turns.js";

/** What {@link Egress} needs. */
export interface EgressOptions {
  readonly hostId: string;
  readonly host: HostClient;
  readonly store: MachineStore;
  readonly lifecycle: Lifecycle;
}

/** Changes what machines may reach. The record comes first: the host is brought to it, whatever happens. */
export class Egress {
  readonly #options: EgressOptions;
  readonly #turns = new Turns();

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  /**
   * Sets the policy of a running or paused machine; that of a paused one holds for the
   * machine that will go on from it.
   *
   * @throws Fault INVALID_ARGUMENT, MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING, MACHINE_DIED,
   * NETWORK_UNAVAILABLE, EGRESS_NOT_APPLIED: then the machine reaches nothing.
   */
  async update(id: string, policy: EgressPolicy): Promise<Machine> {
    const checked = checkEgress(policy);
    return this.#turns.run(id, async () => {
      const machine = await this.#record(id, checked);
      if (machine.state === "running") await this.#apply(machine);
      return machine;
    });
  }

  /** Brings the host to what the record says, after a change of it that was cut off or failed. */
  async mend(row: Machine, held: HostMachine): Promise<void> {
    if (held.egress !== undefined && isSameEgress(row.egress, held.egress)) return;
    await this.#turns.run(row.id, async () => {
      const machine = await this.#options.store.find(row.id);
      if (machine?.state !== "running") return;
      try {
        await this.#apply(machine);
      } catch (error) {
        // A host without networks reaches nothing, which is less than any policy allows.
        if (reasonOf(error) !== ErrorReason.NETWORK_UNAVAILABLE) throw error;
      }
    });
  }

  async #record(id: string, policy: EgressPolicy): Promise<Machine> {
    const { store, lifecycle } = this.#options;
    for (;;) {
      const machine = await localMachine(this.#options, id);
      const { state } = machine;
      if (state !== "running" && state !== "paused") throw machineNotRunning(machine);
      const changed = await store.setEgress(id, state, policy, new Date());
      // Undefined when it has just left that state.
      if (changed === undefined) continue;
      lifecycle.announce(changed, "egress set");
      return changed;
    }
  }

  async #apply({ id, egress }: Machine): Promise<void> {
    await this.#options.host.updateEgress(
      { machineId: id, egress },
      { timeoutMs: HOST_DEADLINES_MS.updateEgress },
    );
  }
}
