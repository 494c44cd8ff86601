/**
 * Machines that this process is making at the moment. A machine that is
 * `creating` and not here has no owner: its maker is gone.
 */
export class Starts {
  readonly #starts = new Map<string, Start>();

  /** Whether this process is making this machine. */
  has(id: string): boolean {
    return this.#starts.has(id);
  }

  /**
   * Owns a machine until the start is disposed.
   *
   * @param signal Aborts the start, as {@link cancel} does.
   */
  begin(id: string, signal: AbortSignal): Start {
    const start = new Start(signal, () => this.#starts.delete(id));
    this.#starts.set(id, start);
    return start;
  }

  /** Fulfilled when the present maker of this machine has let go of it; `undefined` when there is none. */
  ended(id: string): Promise<void> | undefined {
    return this.#starts.get(id)?.ended;
  }

  /** Tells the maker of a machine to stop, and waits until it has. Nothing to do when there is none. */
  async cancel(id: string, reason: Error): Promise<void> {
    const start = this.#starts.get(id);
    start?.cancel(reason);
    await start?.ended;
  }
}

/** The making of one machine. */
export class Start implements Disposable {
  readonly #controller = new AbortController();
  readonly #end: () => void;
  /** Aborted when the machine is no longer wanted. */
  readonly signal: AbortSignal;
  /** Fulfilled when its maker has let go of it. */
  readonly ended: Promise<void>;

  constructor(signal: AbortSignal, forget: () => void) {
    this.signal = AbortSignal.any([signal, this.#controller.signal]);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = () => {
      forget();
      resolve();
    };
  }

  /** Tells the maker to stop. */
  cancel(reason: Error): void {
    this.#controller.abort(reason);
  }

  /** Lets go of the machine. Doing it again changes nothing. */
  [Symbol.dispose](): void {
    this.#end();
  }
}
