import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { type Deadline, within } from "../deadline.js";
import { findMemory } from "./guest-mapping.js";

const PROGRAM = fileURLToPath(new URL("../../../dist/native/page-copier", import.meta.url));

/** A guest's memory, and the files that what it wrote goes to. */
export interface PageCopy {
  /** Process id of its QEMU. */
  pid: number;
  /** Size of its memory. */
  bytes: number;
  /** Inodes of the files that its memory is mapped from. */
  inodes: readonly bigint[];
  /** Gets the pages. */
  pages: FileHandle;
  /** Gets what `decodeMap` reads. */
  map: FileHandle;
}

/** How much was copied. */
export interface CopiedPages {
  pages: number;
  runs: number;
}

/** What the copying failed with. */
export class PageCopyError extends Error {
  override readonly name = "PageCopyError";

  /** @param code - the system's name for it, as `ENOSPC`. */
  constructor(
    readonly code: string,
    what: string,
  ) {
    super(`${what}: ${code}`);
  }
}

/**
 * Copies the pages that a guest wrote, in a process of its own; see native/page-copier.c.
 *
 * @example
 * await using copier = await PageCopier.start({ pid, bytes, inodes, pages, map });
 * await copier.precopy(deadline); // The guest runs.
 * await copier.finish(deadline); // It stands still.
 * await copier.ended(deadline); // It may run again.
 */
export class PageCopier implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #steps: Writable;
  readonly #answers: AsyncIterator<string, undefined>;
  readonly #exit: Promise<unknown[]>;

  private constructor(child: ChildProcess, steps: Writable, answers: Readable) {
    this.#child = child;
    this.#steps = steps;
    this.#exit = once(child, "exit");
    // A copier that ended shows in what it does not answer.
    steps.on("error", () => undefined);
    this.#answers = createInterface({ input: answers })[Symbol.asyncIterator]();
  }

  /** @throws Error when the guest's memory is not mapped as it should be. */
  static async start({ pid, bytes, inodes, pages, map }: PageCopy): Promise<PageCopier> {
    const address = findMemory(await readFile(`/proc/${pid}/maps`, "latin1"), bytes, inodes);
    await using pagemap = await open(`/proc/${pid}/pagemap`, "r");
    await using memory = await open(`/proc/${pid}/mem`, "r");
    const child = spawn(PROGRAM, [String(pid), String(address), String(bytes)], {
      stdio: ["pipe", "pipe", "ignore", pagemap.fd, memory.fd, pages.fd, map.fd],
    });
    await once(child, "spawn");
    if (child.stdin === null || child.stdout === null) throw new Error("a copier without pipes");
    return new PageCopier(child, child.stdin, child.stdout);
  }

  /**
   * Copies what the guest has written so far, while it runs, if the kernel can tell what it writes
   * from then on. Without it, {@link finish} copies all.
   *
   * @returns whether it was done.
   * @throws PageCopyError, DeadlineError, or the reason of the signal.
   */
  async precopy(deadline: Deadline): Promise<boolean> {
    const [answer] = await this.#ask("precopy", deadline);
    return answer === "precopied";
  }

  /**
   * Copies the rest. The guest must stand still.
   *
   * @throws PageCopyError, DeadlineError, or the reason of the signal.
   */
  async finish(deadline: Deadline): Promise<CopiedPages> {
    const [, pages, runs] = await this.#ask("finish", deadline);
    return { pages: Number(pages), runs: Number(runs) };
  }

  /**
   * Waits until the map is written.
   *
   * @throws PageCopyError, DeadlineError, or the reason of the signal.
   */
  async ended(deadline: Deadline): Promise<void> {
    const last = await this.#answer("the map of the pages", deadline);
    if (last !== undefined) throw failureOf(last);
    const [status] = await within(this.#exit, "the end of the copying", deadline);
    if (status !== 0) throw cutOff();
  }

  async #ask(step: string, deadline: Deadline): Promise<string[]> {
    this.#steps.write(`${step}\n`);
    const answer = await this.#answer("the copy of the pages", deadline);
    if (answer === undefined) throw cutOff();
    if (answer.startsWith("failed ")) throw failureOf(answer);
    return answer.split(" ");
  }

  async #answer(what: string, deadline: Deadline): Promise<string | undefined> {
    const next: IteratorResult<string, undefined> = await within(
      this.#answers.next(),
      what,
      deadline,
    );
    return next.value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exit;
  }
}

function cutOff(): Error {
  return new Error("the copying of the pages was cut off");
}

function failureOf(line: string): Error {
  const [, code = "", what = ""] = /^failed (\S+) (.*)$/.exec(line) ?? [];
  return new PageCopyError(code, what);
}
