/**
 * The life of a process that a test kills: it counts what the process does to
 * the world, and at a chosen step stops everything, for good, as `kill -9` would.
 */
export class Life {
  #stepsLeft: number;
  readonly #end = Promise.withResolvers<void>();

  /** @param steps How many steps it may still make. */
  constructor(steps: number) {
    this.#stepsLeft = steps;
  }

  /** Fulfilled when a step was to be made that there was no life for. */
  get over(): Promise<void> {
    return this.#end.promise;
  }

  /** One step; one that is made when life is over never ends. */
  async step(): Promise<void> {
    if (this.#stepsLeft-- > 0) return;
    this.#end.resolve();
    await new Promise(() => undefined);
  }
}

/**
 * Makes an object part of a life: each call of a method is two steps, one before
 * its effect and one after, so a death falls on either side of every effect.
 */
export function mortal<T extends object>(target: T, life: Life): T {
  return new Proxy(target, {
    get(object, name) {
      const member: unknown = Reflect.get(object, name, object);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        const call = (): unknown => Reflect.apply(member, object, args);
        return isStreaming(name) ? mortalStream(call, life) : mortalCall(call, life);
      };
    },
  });
}

async function mortalCall(call: () => unknown, life: Life): Promise<unknown> {
  await life.step();
  const result = await call();
  await life.step();
  return result;
}

async function* mortalStream(call: () => unknown, life: Life): AsyncGenerator {
  await life.step();
  const items = call();
  if (!isAsyncIterable(items)) throw new TypeError("not a stream");
  for await (const item of items) {
    await life.step();
    yield item;
  }
}

function isStreaming(name: string | symbol): boolean {
  return name === "prepareTemplate" || name === "watchExits";
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
