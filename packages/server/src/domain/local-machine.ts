import { machineElsewhere, machineNotFound, machineNotRunning } from "./faults.js";
import type { Machine } from "./machine.js";
import type { MachineStore } from "./machine-store.js";

/** Where a server finds the machines of its own host. */
export interface LocalMachines {
  readonly hostId: string;
  readonly store: MachineStore;
}

/**
 * A machine of this server's host, whatever its state.
 *
 * @throws Fault MACHINE_NOT_FOUND, AGENT_UNREACHABLE for one of another host.
 */
export async function localMachine({ hostId, store }: LocalMachines, id: string): Promise<Machine> {
  const machine = await store.find(id);
  if (machine === undefined) throw machineNotFound(id);
  if (machine.hostId !== hostId) throw machineElsewhere(machine);
  return machine;
}

/**
 * A machine of this server's host that runs.
 *
 * @throws Fault MACHINE_NOT_RUNNING, MACHINE_DIED, and what {@link localMachine} throws.
 */
export async function localRunningMachine(machines: LocalMachines, id: string): Promise<Machine> {
  const machine = await localMachine(machines, id);
  if (machine.state !== "running") throw machineNotRunning(machine);
  return machine;
}
