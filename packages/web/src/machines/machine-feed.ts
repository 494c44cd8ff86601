import type { Client } from "@connectrpc/connect";
import { type Machine, type MachineService, MachineState } from "@nullspace/proto";
import { follow } from "../follow";

/** How the feed is doing: waiting for its first list, up to date, or cut off and trying again. */
export type FeedStatus = "connecting" | "live" | "reconnecting";

/** What the feed knows at one moment. A new object for each change. */
export interface FeedSnapshot {
  status: FeedStatus;
  /** Newest first. */
  machines: readonly Machine[];
  /** Why the feed is cut off. */
  problem: string | undefined;
}

/**
 * The machines of the account, kept up to date by one stream. When the stream
 * breaks, what was last known stays to be seen, and a new one is opened: after
 * a delay that doubles, or at once when the browser comes back online.
 */
export class MachineFeed {
  readonly #client: Client<typeof MachineService>;
  readonly #onRefused: () => void;
  readonly #listeners = new Set<() => void>();
  #machines = new Map<string, Machine>();
  #snapshot: FeedSnapshot = { status: "connecting", machines: [], problem: undefined };

  /** `onRefused` is called when the server no longer takes the key. */
  constructor(client: Client<typeof MachineService>, onRefused: () => void) {
    this.#client = client;
    this.#onRefused = onRefused;
  }

  /** What is known now. */
  readonly snapshot = (): FeedSnapshot => this.#snapshot;

  /** Calls `listener` at each change; the first one opens the stream, the last one to leave closes it. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    const stop = this.#listeners.size === 1 ? new AbortController() : undefined;
    if (stop !== undefined) {
      this.#stop = stop;
      void follow(
        {
          stream: (signal) => this.#watch(signal),
          onProblem: (problem) => this.#publish("reconnecting", problem),
          onRefused: this.#onRefused,
        },
        stop.signal,
      );
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stop?.abort();
    };
  };
  #stop: AbortController | undefined;

  /** Follows one stream; yields its status at each change. */
  async *#watch(signal: AbortSignal): AsyncGenerator<FeedStatus> {
    // What is not told again before `synced` is gone.
    let arriving: Map<string, Machine> | undefined = new Map<string, Machine>();
    for await (const { machine, synced } of this.#client.watch({}, { signal })) {
      if (machine !== undefined) {
        const target: Map<string, Machine> = arriving ?? this.#machines;
        if (machine.state === MachineState.KILLED) target.delete(machine.id);
        else target.set(machine.id, machine);
      }
      if (synced && arriving !== undefined) {
        this.#machines = arriving;
        arriving = undefined;
      }
      if (arriving === undefined) {
        this.#publish("live", undefined);
        yield "live";
      }
    }
  }

  #publish(status: FeedStatus, problem: string | undefined): void {
    const machines = [...this.#machines.values()].toSorted(newestFirst);
    this.#snapshot = { status, machines, problem };
    for (const listener of this.#listeners) listener();
  }
}

function newestFirst(a: Machine, b: Machine): number {
  const difference = Number((b.createdAt?.seconds ?? 0n) - (a.createdAt?.seconds ?? 0n));
  return difference || (b.createdAt?.nanos ?? 0) - (a.createdAt?.nanos ?? 0);
}
