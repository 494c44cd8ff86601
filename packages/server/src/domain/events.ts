import { abortable } from "./abort.js";
import type { Event, EventQuery, EventStore } from "./event.js";
import { invalid } from "./limits.js";
import type { Page } from "./machine-store.js";

/** Events that a watch reads at a time: all that it ever holds. */
const BATCH = 200;

/** What users learn of what happened. */
export class Events {
  readonly #store: EventStore;
  #written = Promise.withResolvers<void>();

  constructor(store: EventStore) {
    this.#store = store;
  }

  /** Tells those who watch that an event may have been written. */
  notify(): void {
    this.#written.resolve();
    this.#written = Promise.withResolvers();
  }

  /**
   * Events, newest first.
   *
   * @throws Fault INVALID_ARGUMENT for a bad cursor.
   */
  async list(query: EventQuery, limit: number, cursor: string): Promise<Page<Event>> {
    const found = await this.#store.listBefore(toId(cursor), query, limit + 1);
    const items = found.slice(0, limit);
    const last = found.length > limit ? items.at(-1) : undefined;
    return { items, nextCursor: last === undefined ? "" : String(last.id) };
  }

  /**
   * Yields every event after one, none twice, and then those that happen. The
   * store is read at the pace of the reader.
   *
   * @param afterId From now on when 0.
   */
  async *watch(
    afterId: number,
    query: EventQuery,
    signal: AbortSignal,
  ): AsyncGenerator<Event, void, undefined> {
    let last = afterId === 0 ? await this.#store.lastId() : afterId;
    for (;;) {
      // Before the look: what is written after it wakes us.
      const written = this.#written.promise;
      const batch = await this.#store.listAfter(last, query, BATCH);
      for (const event of batch) {
        signal.throwIfAborted();
        yield event;
        last = event.id;
      }
      if (batch.length < BATCH) await abortable(written, signal);
    }
  }
}

function toId(cursor: string): number | undefined {
  if (cursor === "") return undefined;
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor);
  throw invalid(
    "cursor",
    "is not one that a listing returned",
    "Pass next_cursor of the page before as it is, or nothing for the first page.",
  );
}
