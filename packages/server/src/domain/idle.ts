import type { Activity } from "./activity.js";
import type { Log } from "./log.js";
import type { Machine } from "./machine.js";

/** Longest single sleep: timers beyond 2^31 ms fire at once. */
const LONGEST_SLEEP_MS = 3_600_000;
/** After the action failed, when to try it again. */
const RETRY_MS = 5000;

/** What {@link IdleTimeouts} needs. */
export interface IdleTimeoutsOptions {
  readonly hostId: string;
  readonly activity: Activity;
  /** What happens to a machine whose time is up. */
  readonly expire: (machine: Machine, cause: string) => Promise<unknown>;
  readonly log: Log;
}

/**
 * Ends or pauses machines that nobody uses. A timer is set to the moment at which
 * a machine would have been idle for long enough; if it was used meanwhile, the
 * timer is set again. So calls cost nothing here.
 */
export class IdleTimeouts implements AsyncDisposable {
  readonly #options: IdleTimeoutsOptions;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** Machines with an idle timeout, as they were last seen. */
  readonly #watched = new Map<string, Machine>();
  readonly #acting = new Set<Promise<void>>();
  #disposed = false;

  constructor(options: IdleTimeoutsOptions) {
    this.#options = options;
  }

  /** Notes a change of a machine: it may run now, or no longer, or have another idle timeout. */
  observe(machine: Machine): void {
    clearTimeout(this.#timers.get(machine.id));
    this.#timers.delete(machine.id);
    this.#watched.delete(machine.id);
    if (machine.hostId !== this.#options.hostId) return;
    if (machine.state !== "running" || machine.idleSeconds === 0) return;
    this.#watched.set(machine.id, machine);
    this.#wait(machine, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    await Promise.all(this.#acting);
  }

  #wait(machine: Machine, atLeastMs: number): void {
    if (this.#disposed) return;
    const left = Math.max(this.#leftMs(machine), atLeastMs);
    const timer = setTimeout(() => this.#wake(machine), Math.min(left, LONGEST_SLEEP_MS));
    timer.unref();
    this.#timers.set(machine.id, timer);
  }

  #leftMs(machine: Machine): number {
    const now = Date.now();
    const usedAt = this.#options.activity.lastUsedAt(machine.id)?.getTime() ?? now;
    return Math.max(0, usedAt + machine.idleSeconds * 1000 - now);
  }

  #wake(machine: Machine): void {
    this.#timers.delete(machine.id);
    if (this.#leftMs(machine) > 0) return this.#wait(machine, 0);
    const acting = this.#act(machine).finally(() => this.#acting.delete(acting));
    this.#acting.add(acting);
  }

  async #act(machine: Machine): Promise<void> {
    const { expire, log } = this.#options;
    try {
      await expire(machine, "idle");
    } catch (err) {
      log.warn({ machineId: machine.id, err }, "the idle timeout's action failed; trying again");
      // Unless it has changed meanwhile: then it is watched as it is now.
      if (this.#watched.get(machine.id) === machine) this.#wait(machine, RETRY_MS);
    }
  }
}
