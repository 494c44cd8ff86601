import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { abortable } from "./abort.js";
import type { Machine } from "./machine.js";

/** Machines that may wait for one slow subscriber, each in its latest state only. */
const LONGEST_BACKLOG = 10_000;

/** Hands every change of a machine to all who subscribed. */
export class MachineFeed {
  readonly #subscriptions = new Set<Subscription>();

  /** Tells all subscribers that a machine is now as given. Never waits for them. */
  publish(machine: Machine): void {
    for (const subscription of this.#subscriptions) {
      if (subscription.projectId === machine.projectId) subscription.push(machine);
    }
  }

  /**
   * Follows all changes of a project's machines from this moment on. A subscriber that is slower than
   * the changes gets each machine's latest state and misses those between.
   *
   * @example
   * ```ts
   * using changes = feed.subscribe("default");
   * for (;;) console.log(await changes.next(signal));
   * ```
   */
  subscribe(projectId: string): Subscription {
    const subscription = new Subscription(projectId, () =>
      this.#subscriptions.delete(subscription),
    );
    this.#subscriptions.add(subscription);
    return subscription;
  }
}

/** One subscriber's backlog, at most one entry per machine. */
export class Subscription implements Disposable {
  readonly projectId: string;
  readonly #backlog = new Map<string, Machine>();
  readonly #unsubscribe: () => void;
  #overflowed = false;
  #arrival = Promise.withResolvers<void>();

  constructor(projectId: string, unsubscribe: () => void) {
    this.projectId = projectId;
    this.#unsubscribe = unsubscribe;
  }

  /** Adds a change, in place of an older one of the same machine. */
  push(machine: Machine): void {
    if (this.#overflowed) return;
    this.#backlog.set(machine.id, machine);
    if (this.#backlog.size > LONGEST_BACKLOG) {
      this.#overflowed = true;
      this.#backlog.clear();
    }
    this.#arrival.resolve();
  }

  /**
   * Waits for the next change.
   *
   * @throws Fault CAPACITY_EXCEEDED when 10,000 machines were waiting for this subscriber.
   * @throws The signal's reason, once it is aborted.
   */
  async next(signal: AbortSignal): Promise<Machine> {
    for (;;) {
      if (this.#overflowed) {
        throw new Fault(ErrorReason.CAPACITY_EXCEEDED, "this watch fell too far behind", {
          remedy: "Watch again: it begins with the present state of every machine.",
        });
      }
      for (const [id, machine] of this.#backlog) {
        this.#backlog.delete(id);
        return machine;
      }
      this.#arrival = Promise.withResolvers<void>();
      await abortable(this.#arrival.promise, signal);
    }
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#backlog.clear();
  }
}
