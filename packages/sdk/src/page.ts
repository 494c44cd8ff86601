/** One page of a list, and the way to the ones after it. */
export class Page<T> implements AsyncIterable<T> {
  /** What this page holds. */
  readonly items: readonly T[];
  /** `cursor` of the next page; undefined on the last one. */
  readonly nextCursor: string | undefined;
  readonly #load: (cursor: string) => Promise<Page<T>>;

  constructor(items: readonly T[], nextCursor: string, load: (cursor: string) => Promise<Page<T>>) {
    this.items = items;
    this.nextCursor = nextCursor === "" ? undefined : nextCursor;
    this.#load = load;
  }

  /** The next page; undefined when this is the last one. */
  async next(): Promise<Page<T> | undefined> {
    return this.nextCursor === undefined ? undefined : this.#load(this.nextCursor);
  }

  /** The items of this page and of all pages after it, each page loaded when it is needed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    yield* this.items;
    for (let page = await this.next(); page !== undefined; page = await page.next()) {
      yield* page.items;
    }
  }
}

/**
 * A list on its way: await it for its first page, or loop over it for
 * everything.
 *
 * @example
 * ```ts
 * const { items, nextCursor } = await Machine.list({ limit: 10 });
 * for await (const machine of Machine.list()) console.log(machine.id);
 * ```
 */
export type PagePromise<T> = Promise<Page<T>> & AsyncIterable<T>;

/** Makes the promise of a first page loopable. */
export function pagePromise<T>(first: Promise<Page<T>>): PagePromise<T> {
  return Object.assign(first, {
    async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
      yield* await first;
    },
  });
}
