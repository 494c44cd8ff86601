import type { Machine } from "./machine.js";

/**
 * Remembers the machines that run on this server's host, so that what happens a thousand
 * times a second asks no database. It begins empty, and whatever changes a machine tells it.
 */
export class RunningMachines {
  readonly #hostId: string;
  readonly #machines = new Map<string, Machine>();

  constructor(hostId: string) {
    this.#hostId = hostId;
  }

  /** A machine that runs; `undefined` for one that does not, or not here. */
  find(id: string): Machine | undefined {
    return this.#machines.get(id);
  }

  /** Notes a change of a machine. */
  observe(machine: Machine): void {
    if (machine.state === "running" && machine.hostId === this.#hostId) {
      this.#machines.set(machine.id, machine);
    } else this.#machines.delete(machine.id);
  }
}
