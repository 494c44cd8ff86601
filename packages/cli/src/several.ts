import { print, printJson } from "./terminal.js";

/** What came of doing something to several things. */
export interface Several<T> {
  /** Those that it was done to. */
  done: T[];
  /** Of the first of the others. */
  failure: PromiseRejectedResult | undefined;
}

/** Does something to several things at once: one that fails does not keep the others from it. */
export async function toSeveral<T>(
  things: readonly T[],
  work: (thing: T) => Promise<unknown>,
): Promise<Several<T>> {
  const outcomes = await Promise.allSettled(things.map(work));
  return {
    done: things.filter((_thing, index) => outcomes[index]?.status === "fulfilled"),
    failure: outcomes.find((outcome) => outcome.status === "rejected"),
  };
}

/**
 * Prints the ids that something was done to, also when it failed for others.
 *
 * @param name - of the list in JSON.
 * @throws what it failed with for the first of them
 */
export function printDone(name: string, { done, failure }: Several<string>, json?: boolean): void {
  if (!json) for (const id of done) print(`${id}\n`);
  if (failure !== undefined) throw failure.reason;
  if (json) printJson({ [name]: done });
}
