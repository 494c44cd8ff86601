import { randomInt } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";

/** Runs of each property where no time is given. */
const RUNS = 100;

/** Where a run that nobody foresaw the end of is given up, in milliseconds. */
const RUN_MS = 10_000;

/** Leads to one run of a seed. */
const path = process.env["NULLSPACE_FUZZ_PATH"];
const seed = Number(process.env["NULLSPACE_FUZZ_SEED"] ?? randomInt(2 ** 31));
const seconds = Number(process.env["NULLSPACE_FUZZ_SECONDS"] ?? 0);

/** How long a test that fuzzes may take, in milliseconds. */
export const FUZZ_TIMEOUT_MS = Math.max(120_000, seconds * 2000);

/**
 * Tries a property with whatever comes of a seed: a new one each time, unless `NULLSPACE_FUZZ_SEED`
 * tells it. It takes a bounded number of runs, or `NULLSPACE_FUZZ_SECONDS`. What fails is made as
 * small as it can be, and told with the seed and the path that lead there again; what ends the whole
 * process leaves them in a file.
 */
export async function fuzz<T>(
  name: string,
  input: fc.Arbitrary<T>,
  holds: (value: T) => Promise<void>,
): Promise<void> {
  const note = join(tmpdir(), `nullspace-fuzz-${process.pid}`);
  process.stderr.write(`fuzz: ${name}: npm run fuzz -- --seed ${seed}; where it is: ${note}\n`);
  await using failures = new Failures();
  let runs = 0;
  const property = fc.asyncProperty(input, async (value) => {
    writeFileSync(note, `--seed ${seed} --path ${path ?? runs++}\n`);
    await holds(value);
    await failures.check();
  });
  const limit = seconds > 0 ? { numRuns: 2 ** 31, interruptAfterTimeLimit: seconds * 1000 } : {};
  try {
    await fc.assert(property, {
      seed,
      numRuns: RUNS,
      timeout: RUN_MS,
      markInterruptAsFailure: false,
      ...limit,
      ...(path === undefined ? {} : { path, endOnFailure: true }),
    });
  } finally {
    rmSync(note);
  }
}

/** What nobody catches: it would end a server. */
class Failures implements AsyncDisposable {
  readonly #seen: unknown[] = [];
  readonly #note = (error: unknown) => this.#seen.push(error);

  constructor() {
    process.on("uncaughtException", this.#note);
    process.on("unhandledRejection", this.#note);
  }

  /** @throws what was seen. */
  async check(): Promise<void> {
    // What a run leaves behind for later shows by then.
    await new Promise((resolve) => setImmediate(resolve));
    const [first] = this.#seen.splice(0);
    if (first !== undefined) throw new Error("nobody caught this", { cause: first });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off("uncaughtException", this.#note);
    process.off("unhandledRejection", this.#note);
  }
}
