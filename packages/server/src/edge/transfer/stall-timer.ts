/** Ends what no longer moves: a client that says nothing for ever would hold its place for ever. */
export class StallTimer implements Disposable {
  readonly #timer: NodeJS.Timeout;

  /** @param onStall called once, when `refresh` has not been called for so long. */
  constructor(milliseconds: number, onStall: () => void) {
    this.#timer = setTimeout(onStall, milliseconds);
    this.#timer.unref();
  }

  /** Something has moved. */
  refresh(): void {
    this.#timer.refresh();
  }

  /** Passes on what moves through it. */
  async *watch(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of body) {
      this.refresh();
      yield chunk;
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
