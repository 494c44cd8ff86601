import type { Client } from "@connectrpc/connect";
import type { Event, EventService } from "@nullspace/proto";
import { follow } from "../follow";
import type { FeedStatus } from "../machines/machine-feed";

/** Events that are kept to be seen. */
const KEPT = 200;

/** What the feed knows at one moment. A new object for each change. */
export interface EventSnapshot {
  status: FeedStatus;
  /** Newest first. */
  events: readonly Event[];
  /** Why the feed is cut off. */
  problem: string | undefined;
}

/** The newest events of the account, followed by one stream that goes on where a broken one ended. */
export class EventFeed {
  readonly #client: Client<typeof EventService>;
  readonly #machineId: string;
  readonly #onRefused: () => void;
  readonly #listeners = new Set<() => void>();
  #snapshot: EventSnapshot = { status: "connecting", events: [], problem: undefined };
  #stop: AbortController | undefined;

  /** Only those of one machine, or all when it is ""; `onRefused` is called when the server no longer takes the key. */
  constructor(client: Client<typeof EventService>, machineId: string, onRefused: () => void) {
    this.#client = client;
    this.#machineId = machineId;
    this.#onRefused = onRefused;
  }

  /** What is known now. */
  readonly snapshot = (): EventSnapshot => this.#snapshot;

  /** Calls `listener` at each change; the first one opens the stream, the last one to leave closes it. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) {
      this.#stop = new AbortController();
      void follow(
        {
          stream: (signal) => this.#watch(signal),
          onProblem: (problem) => this.#publish({ status: "reconnecting", problem }),
          onRefused: this.#onRefused,
        },
        this.#stop.signal,
      );
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stop?.abort();
    };
  };

  async *#watch(signal: AbortSignal): AsyncGenerator<void> {
    const machineId = this.#machineId;
    let [newest] = this.#snapshot.events;
    if (newest === undefined) {
      const { events } = await this.#client.list({ machineId, limit: 50 }, { signal });
      [newest] = events;
      this.#publish({ events });
    }
    this.#publish({ status: "live", problem: undefined });
    yield;
    const request = { machineId, afterId: newest?.id ?? 0n };
    for await (const { event } of this.#client.watch(request, { signal })) {
      if (event === undefined) continue;
      this.#publish({ events: [event, ...this.#snapshot.events].slice(0, KEPT) });
      yield;
    }
  }

  #publish(change: Partial<EventSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of this.#listeners) listener();
  }
}
