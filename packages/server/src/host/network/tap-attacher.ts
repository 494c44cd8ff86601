import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Log } from "../../domain/log.js";
import { type Deadline, within } from "../deadline.js";
import { NAMESPACES } from "./run.js";

const PROGRAM = fileURLToPath(new URL("../../../dist/native/tap-attacher", import.meta.url));

/** A card to be connected. */
export interface Attachment {
  /** Process of the machine's QEMU. */
  pid: number;
  namespace: string;
  /** QEMU's working directory. */
  directory: string;
}

interface Pending {
  resolve: () => void;
  reject: (error: Error) => void;
}

/** Connects network cards of running machines to their taps; see `native/tap-attacher.c`. */
export class TapAttacher implements Disposable {
  readonly #log: Log;
  readonly #pending = new Map<string, Pending>();
  #child: ChildProcessByStdio<Writable, Readable, Readable> | undefined;
  #last = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Starts the program beforehand: then no machine waits for it. */
  start(): void {
    this.#start();
  }

  /** @throws Error that names the step, DeadlineError, or the reason of the signal. */
  async attach({ pid, namespace, directory }: Attachment, deadline: Deadline): Promise<void> {
    const child = this.#start();
    const seq = String(++this.#last);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#pending.set(seq, { resolve, reject });
    child.stdin.write(`${seq} ${pid} ${NAMESPACES}/${namespace} ${directory}\n`);
    try {
      await within(promise, "a network card to be connected", deadline);
    } finally {
      this.#pending.delete(seq);
    }
  }

  [Symbol.dispose](): void {
    this.#child?.stdin.end();
    this.#child = undefined;
  }

  #start(): ChildProcessByStdio<Writable, Readable, Readable> {
    if (this.#child !== undefined) return this.#child;
    const child = spawn(PROGRAM, [], { stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", (line) => this.#answer(line));
    createInterface({ input: child.stderr }).on("line", (message) =>
      this.#log.warn({ message }, "QEMU refuses a network card"),
    );
    child.stdin.on("error", () => undefined);
    child.on("error", (error) => this.#end(child, error));
    child.on("close", () =>
      this.#end(child, new Error("the program that connects taps has ended")),
    );
    return child;
  }

  #answer(line: string): void {
    const [seq = "", kind, step = "", errno = ""] = line.split(" ");
    const pending = this.#pending.get(seq);
    if (kind === "ok") pending?.resolve();
    else pending?.reject(new Error(`the network card: ${step} failed with errno ${errno}`));
  }

  #end(child: object, error: Error): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
