import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GitProgressSchema } from "@nullspace/proto/agent";
import type { Scrub } from "./scrub.js";

export type Progress = MessageInitShape<typeof GitProgressSchema>;

/** Most of a line without an end that is waited for. */
const MOST_PENDING = 4096;

/** Steps that are kept for a client that does not read; older ones are of no interest then. */
const MOST_KEPT = 32;

const COUNT = /^([A-Z][\w .-]*?):\s+(?:\d+% \((\d+)\/(\d+)\)|(\d+)\b)/;

/** Reads the progress out of what git says on standard error. */
export class ProgressReader {
  readonly #tell: (progress: Progress) => void;
  readonly #scrub: Scrub;
  #pending = "";

  constructor(scrub: Scrub, tell: (progress: Progress) => void) {
    this.#scrub = scrub;
    this.#tell = tell;
  }

  /** Takes the next piece; a count is told when its line is complete, which a bare CR does. */
  push(text: string): void {
    const lines = (this.#pending + text).split(/[\r\n]+/);
    this.#pending = (lines.pop() ?? "").slice(-MOST_PENDING);
    for (const line of lines) this.#read(line);
  }

  #read(line: string): void {
    const isRemote = line.startsWith("remote: ");
    const said = (isRemote ? line.slice("remote: ".length) : line).trim();
    const count = COUNT.exec(said);
    if (count !== null) {
      const [, phase = "", done, total, only] = count;
      this.#tell({ phase, done: BigInt(done ?? only ?? 0), total: BigInt(total ?? 0) });
    } else if (isRemote && said !== "") {
      this.#tell({ message: this.#scrub(said) });
    }
  }
}

/**
 * Does some work and tells its progress, then its result. A client that is
 * slow misses steps, and holds nothing up.
 */
export async function* withProgress<T>(
  work: (tell: (progress: Progress) => void) => Promise<T>,
): AsyncGenerator<{ progress: Progress } | { done: T }> {
  const steps: Progress[] = [];
  let wake = () => {};
  const tell = (progress: Progress) => {
    steps.push(progress);
    if (steps.length > MOST_KEPT) steps.shift();
    wake();
  };
  let ended = false;
  const working = work(tell).finally(() => {
    ended = true;
    wake();
  });
  // Awaited below, when all steps are told.
  working.catch(() => {});
  for (;;) {
    const step = steps.shift();
    if (step !== undefined) {
      yield { progress: step };
      continue;
    }
    if (ended) break;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  yield { done: await working };
}
