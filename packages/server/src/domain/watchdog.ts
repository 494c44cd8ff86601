import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Ending } from "./ending.js";
import type { Log } from "./log.js";
import type { Machine } from "./machine.js";
import type { Pausing } from "./pausing.js";
import type { Resuming } from "./resuming.js";
import type { Starts } from "./starts.js";
import { longestStayMs } from "./transitions.js";

/** What {@link Watchdog} needs. */
export interface WatchdogOptions {
  readonly hostId: string;
  readonly starts: Starts;
  readonly ending: Ending;
  readonly pausing: Pausing;
  readonly resuming: Resuming;
  readonly log: Log;
}

/** Sees to it that no machine stays in a transient state for ever. */
export class Watchdog implements Disposable {
  readonly #options: WatchdogOptions;
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** Notes a change of a machine: begins to watch a transient state, ends watching the former one. */
  observe(machine: Machine): void {
    clearTimeout(this.#timers.get(machine.id));
    this.#timers.delete(machine.id);
    const longest = longestStayMs(machine.state);
    if (longest === undefined || machine.hostId !== this.#options.hostId) return;
    // From now on and not from when it began: while no server ran, nobody could have finished it.
    const timer = setTimeout(() => void this.#expire(machine, longest), longest);
    timer.unref();
    this.#timers.set(machine.id, timer);
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  async #expire(machine: Machine, longest: number): Promise<void> {
    const { starts, ending, pausing, resuming, log } = this.#options;
    const { id, state } = machine;
    this.#timers.delete(id);
    const failure = `the machine was ${state} for more than ${longest / 1000} s`;
    try {
      if (state === "pausing") {
        const reason = new Fault(ErrorReason.CAPTURE_FAILED, failure, { remedy: "Try again." });
        await pausing.giveUp(id, reason, "watchdog");
      } else if (state === "resuming") {
        // While it is being resumed, the new machine has a watchdog of its own.
        await resuming.mend(id, "watchdog");
      } else if (starts.has(id)) {
        // Its maker tells its caller why and leaves the machine failed.
        await starts.cancel(id, new Fault(ErrorReason.MACHINE_START_FAILED, failure));
      } else await ending.fail(id, "watchdog", failure);
    } catch (err) {
      log.error({ machineId: id, err }, "what an overdue machine holds is left to the reconciler");
    }
  }
}
