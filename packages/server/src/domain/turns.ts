/** Runs tasks of the same name one after the other, in the order in which they came. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** @throws what the task throws; that a former one failed does not matter. */
  async run<T>(name: string, task: () => Promise<T>): Promise<T> {
    const former = this.#last.get(name) ?? Promise.resolve();
    const turn = former.then(task);
    const settled = turn.catch(() => undefined);
    this.#last.set(name, settled);
    try {
      return await turn;
    } finally {
      if (this.#last.get(name) === settled) this.#last.delete(name);
    }
  }
}
