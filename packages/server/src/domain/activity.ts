import { hasEnded, type Machine } from "./machine.js";

interface Use {
  open: number;
  lastAt: number;
}

/** Knows when each machine was last used. It begins anew with each server: then all count as used. */
export class Activity {
  readonly #uses = new Map<string, Use>();

  /** Notes a call or stream that reaches a machine; it is in use until this is disposed. */
  begin(machineId: string): Disposable {
    const use = this.#use(machineId);
    use.open++;
    let ended = false;
    return {
      [Symbol.dispose]: () => {
        if (ended) return;
        ended = true;
        use.open--;
        use.lastAt = Date.now();
      },
    };
  }

  /** Notes that something was done with a machine. */
  touch(machineId: string): void {
    this.#use(machineId);
  }

  /** When a machine was last used, as far as this server knows. */
  lastUsedAt(machineId: string): Date | undefined {
    const use = this.#uses.get(machineId);
    if (use === undefined) return undefined;
    return new Date(use.open > 0 ? Date.now() : use.lastAt);
  }

  /**
   * Notes a change of a machine. One that begins to run, again or for this server,
   * counts as used; one that has ended or is paused is forgotten.
   */
  observe(machine: Machine): void {
    if (machine.state === "running") this.touch(machine.id);
    if (hasEnded(machine.state) || machine.state === "paused") this.#uses.delete(machine.id);
  }

  #use(machineId: string): Use {
    const use = this.#uses.get(machineId) ?? { open: 0, lastAt: 0 };
    use.lastAt = Date.now();
    this.#uses.set(machineId, use);
    return use;
  }
}
