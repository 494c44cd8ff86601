import type { Log } from "./log.js";
import type { Machine } from "./machine.js";
import type { MachineStore } from "./machine-store.js";

/** Longest single sleep: timers beyond 2^31 ms fire at once, and clocks are set. */
const LONGEST_SLEEP_MS = 3_600_000;
/** After the store failed, when to ask it again. */
const RETRY_MS = 5000;
/** Machines whose time is up that are ended side by side. */
const BATCH = 16;

/** How a round of due deadlines went: all met, all met and there may be more, or not all met. */
type Round = "done" | "more" | "failed";

/** What {@link Timeouts} needs. */
export interface TimeoutsOptions {
  readonly hostId: string;
  readonly store: MachineStore;
  /** What happens to a machine whose time is up. */
  readonly expire: (machine: Machine, cause: string) => Promise<unknown>;
  readonly log: Log;
}

/**
 * Ends or pauses machines at their deadlines. There is one timer, set to the next deadline
 * that the store knows, so deadlines outlive the server: those that passed while
 * it was down are met when it starts.
 */
export class Timeouts implements AsyncDisposable {
  readonly #options: TimeoutsOptions;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires, in milliseconds since the epoch. */
  #wakesAt = Infinity;
  #round: Promise<void> | undefined;
  #disposed = false;
  /** Machines whose timeout action is in progress: what it changes of them is no news. */
  readonly #acting = new Set<string>();

  constructor(options: TimeoutsOptions) {
    this.#options = options;
  }

  /** Meets the deadlines that have passed and sets the timer to the next one. */
  async start(): Promise<void> {
    this.#round ??= this.#run().finally(() => {
      this.#round = undefined;
    });
    await this.#round;
  }

  /** Notes a change of a machine: its deadline may be the next one now. */
  observe(machine: Machine): void {
    const { id, state, timeoutAt, deleteAt } = machine;
    if (this.#acting.has(id)) return;
    const due = state === "running" ? timeoutAt : state === "paused" ? deleteAt : undefined;
    if (due !== undefined && due.getTime() < this.#wakesAt) this.#wakeAt(due.getTime());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  #wakeAt(time: number): void {
    clearTimeout(this.#timer);
    if (this.#disposed) return;
    const now = Date.now();
    this.#wakesAt = Math.min(time, now + LONGEST_SLEEP_MS);
    this.#timer = setTimeout(() => void this.start(), Math.max(0, this.#wakesAt - now));
    this.#timer.unref();
  }

  async #run(): Promise<void> {
    const { store, hostId, log } = this.#options;
    this.#wakesAt = Infinity;
    try {
      let round: Round;
      do {
        round = await this.#endDue();
      } while (round === "more" && !this.#disposed);
      const next = await store.nextDeadline(hostId);
      if (next === undefined) return;
      const earliest = round === "failed" ? Date.now() + RETRY_MS : 0;
      const wakeAt = Math.max(next.getTime(), earliest);
      if (wakeAt < this.#wakesAt) this.#wakeAt(wakeAt);
    } catch (err) {
      log.error({ err }, "deadlines could not be met; trying again");
      this.#wakeAt(Date.now() + RETRY_MS);
    }
  }

  async #endDue(): Promise<Round> {
    const { store, hostId, expire, log } = this.#options;
    const due = await store.listDue(hostId, new Date(), BATCH);
    const end = async (machine: Machine) => {
      this.#acting.add(machine.id);
      try {
        await expire(machine, "timeout");
        return true;
      } catch (err) {
        // Once it is `killing` it is no longer due, and the reconciler finishes it; one that
        // could not be paused goes on, and it is tried again.
        log.warn({ machineId: machine.id, err }, "the timeout action failed");
        return false;
      } finally {
        this.#acting.delete(machine.id);
      }
    };
    const ended = await Promise.all(due.map(end));
    if (ended.includes(false)) return "failed";
    return due.length === BATCH ? "more" : "done";
  }
}
