import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { holdsMemory, type Machine } from "./machine.js";

/** How much one host may hold at a time. */
export interface CapacityLimits {
  /** Machines that are not paused, killed or failed. */
  readonly maxMachines: number;
  /** Memory of all of them together, in MiB. */
  readonly maxMemoryMb: number;
}

/**
 * Keeps the books of one host's room. It lives in memory because a host has
 * exactly one server: admission is then exact without a lock in the database.
 */
export class Capacity {
  readonly #limits: CapacityLimits;
  readonly #held = new Map<string, number>();
  #memoryMb = 0;

  constructor(limits: CapacityLimits) {
    this.#limits = limits;
  }

  /**
   * Reserves room for a machine, before anything of it exists.
   *
   * @throws Fault CAPACITY_EXCEEDED.
   */
  admit(id: string, memoryMb: number): void {
    const { maxMachines, maxMemoryMb } = this.#limits;
    if (this.#held.size + 1 > maxMachines) {
      throw new Fault(
        ErrorReason.CAPACITY_EXCEEDED,
        `the host holds ${this.#held.size} machines of at most ${maxMachines}`,
        { remedy: "Kill machines that are no longer needed, or raise --max-machines." },
      );
    }
    if (this.#memoryMb + memoryMb > maxMemoryMb) {
      const free = Math.max(0, maxMemoryMb - this.#memoryMb);
      throw new Fault(
        ErrorReason.CAPACITY_EXCEEDED,
        `the machine needs ${memoryMb} MiB of memory and the host has ${free} of ${maxMemoryMb} MiB left`,
        {
          remedy:
            "Ask for less memory, kill machines that are no longer needed, or raise --max-memory-mb.",
          details: { free_memory_mb: String(free) },
        },
      );
    }
    this.#set(id, memoryMb);
  }

  /** Gives back the room of a machine that came to nothing. */
  release(id: string): void {
    this.#memoryMb -= this.#held.get(id) ?? 0;
    this.#held.delete(id);
  }

  /** Notes what became of a machine, including one that another process admitted. */
  observe(machine: Machine): void {
    if (holdsMemory(machine.state)) this.#set(machine.id, machine.memoryMb);
    // One that is killed gives back what it held, if anything, when that is done.
    else if (machine.state !== "killing") this.release(machine.id);
  }

  #set(id: string, memoryMb: number): void {
    this.release(id);
    this.#held.set(id, memoryMb);
    this.#memoryMb += memoryMb;
  }
}
