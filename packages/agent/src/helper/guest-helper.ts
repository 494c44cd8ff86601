import type { Socket } from "node:net";
import { helperFrame } from "@nullspace/proto/adoption";
import { connectHelper, type HelperLaunch } from "./launch.js";

/**
 * A process the helper is the parent of. Descriptors are the helper's own; -1
 * where there is none: a process with a terminal has no stderr of its own.
 */
export interface HeldProcess {
  pid: number;
  stdin: number;
  stdout: number;
  stderr: number;
}

/** A process that a former agent started, with the words it left about it. */
export interface InheritedProcess extends HeldProcess {
  meta: string;
}

/** How a process ended; `signal` is 0 when it ended by itself. */
export interface ExitStatus {
  code: number;
  signal: number;
}

/** An adoption by the host. */
export interface Adopted {
  /** Of the host's session. */
  nonce: Buffer;
  /** Names the adoption. */
  epoch: string;
  /** What begins the session after that one. */
  channelKey: Buffer;
  /** What is kept of it, as JSON. */
  kept: string;
}

function parseAdopted([nonce = "", epoch = "", key = "", ...kept]: string[]): Adopted {
  const [nonceBytes, channelKey] = [Buffer.from(nonce, "hex"), Buffer.from(key, "hex")];
  return { nonce: nonceBytes, epoch, channelKey, kept: kept.join(" ") };
}

/** Told of every process that ends. */
export type ExitListener = (pid: number, status: ExitStatus) => void;

/** A verb that the helper could not do. */
export class HelperError extends Error {
  override readonly name = "HelperError";
  /** Which step failed: "cwd", "exec", "user", "stdio", "terminal" or "fork" of a spawn, else the verb. */
  readonly step: string;
  readonly errno: number;

  constructor(step: string, errno: number) {
    super(`${step} failed with errno ${errno}`);
    this.step = step;
    this.errno = errno;
  }
}

interface Reply {
  resolve: (values: string[]) => void;
  reject: (error: Error) => void;
}

/**
 * The agent's side of `native/guest-helper.c`: the program that does what Node
 * cannot, and that is the parent of all user processes.
 */
export class GuestHelper implements AsyncDisposable {
  /** Processes that a former agent started. */
  readonly inherited: InheritedProcess[] = [];
  /** Rejects when the helper is gone. Nothing can be done about it but to start anew. */
  readonly lost: Promise<never>;
  readonly #socket: Socket;
  readonly #attached = Promise.withResolvers<void>();
  readonly #replies = new Map<string, Reply>();
  /** Exits nobody has listened to yet. */
  readonly #exits = new Map<number, ExitStatus>();
  #pid = 0;
  #onAdopted: ((adopted: Adopted) => void) | undefined;
  #listener: ExitListener | undefined;
  #sequence = 0;
  #partial = "";
  #disposed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const { promise, reject } = Promise.withResolvers<never>();
    this.lost = promise;
    // Handled here too: whoever opened the helper may have failed before it could look.
    promise.catch(() => {});
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#onText(text));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      const error = new Error("the guest helper has ended");
      this.#attached.reject(error);
      for (const reply of this.#replies.values()) reply.reject(error);
      this.#replies.clear();
      if (!this.#disposed) reject(error);
    });
  }

  /** Connects to the helper, and starts it if there is none. */
  static async open(launch: HelperLaunch): Promise<GuestHelper> {
    const helper = new GuestHelper(await connectHelper(launch));
    await helper.#attached.promise;
    return helper;
  }

  get pid(): number {
    return this.#pid;
  }

  get connected(): boolean {
    return !this.#socket.destroyed;
  }

  /** Tells the listener of every exit from now on, and of those that were missed. */
  listen(listener: ExitListener): void {
    this.#listener = listener;
    for (const [pid, status] of this.#exits) listener(pid, status);
    this.#exits.clear();
  }

  /**
   * Calls back when the host has had the guest adopted.
   */
  onAdopted(listener: (adopted: Adopted) => void): void {
    this.#onAdopted = listener;
  }

  /**
   * Does one verb; `native/guest-helper.c` says which there are.
   *
   * @returns the values that the helper answers with.
   * @throws HelperError when the verb failed.
   */
  request(verb: string, ...fields: string[]): Promise<string[]> {
    const sequence = String(++this.#sequence);
    const frame = helperFrame([sequence, verb, ...fields]);
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error("the guest helper has ended"));
      this.#replies.set(sequence, { resolve, reject });
      this.#socket.write(frame);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve();
      this.#socket.once("close", () => resolve());
      this.#socket.destroy();
    });
  }

  #onText(text: string): void {
    const lines = (this.#partial + text).split("\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) this.#onLine(line);
  }

  #onLine(line: string): void {
    const [kind, ...values] = line.split(" ");
    switch (kind) {
      case "ok":
      case "error":
        return this.#onReply(kind, values);
      case "exit": {
        const [pid, code, signal] = values.map(Number);
        if (pid === undefined || code === undefined || signal === undefined) break;
        if (this.#listener === undefined) this.#exits.set(pid, { code, signal });
        else this.#listener(pid, { code, signal });
        return undefined;
      }
      case "adopted":
        this.#onAdopted?.(parseAdopted(values));
        return undefined;
      case "ready":
        this.#pid = Number(values[0]);
        return undefined;
      case "child": {
        const [pid, stdin, stdout, stderr] = values.slice(0, 4).map(Number);
        if (
          pid === undefined ||
          stdin === undefined ||
          stdout === undefined ||
          stderr === undefined
        )
          break;
        this.inherited.push({ pid, stdin, stdout, stderr, meta: values.slice(4).join(" ") });
        return undefined;
      }
      case "attached":
        return this.#attached.resolve();
      case undefined:
      default:
        break;
    }
    throw new Error(`the guest helper said ${JSON.stringify(line)}`);
  }

  #onReply(kind: "ok" | "error", [sequence = "", ...values]: string[]): void {
    const reply = this.#replies.get(sequence);
    this.#replies.delete(sequence);
    if (kind === "ok") reply?.resolve(values);
    else reply?.reject(new HelperError(values[0] ?? "", Number(values[1])));
  }
}
