import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { helperFrame } from "@nullspace/proto/adoption";
import { type Deadline, within } from "../deadline.js";
import { HELPER_SOCKET } from "../qemu/command-line.js";
import { connectUnix } from "../unix-socket.js";

/** Far above the longest answer. A guest that sends more is not one of ours any more. */
const MAX_LINE_BYTES = 4096;

/** Far above what comes between one question and the next: a guest could send lines for ever. */
const MAX_BYTES_A_QUESTION = 64 << 10;

/** The guest's helper could not do what it was asked for. */
export class HelperRefusalError extends Error {
  override readonly name = "HelperRefusalError";
}

interface Pending {
  resolve: (guestMs: number) => void;
  reject: (error: Error) => void;
}

/**
 * The way to a guest's helper: a small program that makes a restored guest a machine of its
 * own, beside the agent and in a fraction of its time. See `native/guest-helper.c` of the agent.
 */
export class HelperPort implements Disposable {
  readonly #socket: Socket;
  readonly #pending = new Map<string, Pending>();
  #partial = "";
  #bytesSinceQuestion = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => this.#receive(text));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      const error = new Error("the machine closed its helper's port");
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
    });
  }

  /** @throws the system's error, DeadlineError, or the reason of the signal. */
  static async open(directory: string, deadline: Deadline): Promise<HelperPort> {
    return new HelperPort(await connectUnix(directory, HELPER_SOCKET, deadline));
  }

  /**
   * Asks the helper for something.
   *
   * @returns the guest's clock when it answered, in milliseconds since the epoch.
   * @throws HelperRefusalError, DeadlineError, the reason of the signal, or an error when the guest is gone.
   */
  async request(verb: string, args: readonly string[], deadline: Deadline): Promise<number> {
    // Not a count: a restored guest may still send the answer to a question of before.
    const token = randomBytes(8).toString("hex");
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    if (this.#socket.destroyed) throw new Error("the machine's helper cannot be reached");
    this.#pending.set(token, { resolve, reject });
    this.#bytesSinceQuestion = 0;
    this.#socket.write(helperFrame([token, verb, ...args]));
    try {
      return await within(promise, "the guest's helper", deadline);
    } finally {
      this.#pending.delete(token);
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#bytesSinceQuestion += text.length;
    if (this.#bytesSinceQuestion > MAX_BYTES_A_QUESTION) {
      this.#socket.destroy();
      return;
    }
    const lines = (this.#partial + text).split("\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) this.#answer(line);
    if (this.#partial.length > MAX_LINE_BYTES) this.#socket.destroy();
  }

  #answer(line: string): void {
    const [kind, token = "", ...values] = line.slice(0, MAX_LINE_BYTES).split(" ");
    const pending = this.#pending.get(token);
    if (kind === "ok") {
      const [seconds, nanoseconds] = values.map(Number);
      pending?.resolve((seconds ?? NaN) * 1000 + Math.trunc((nanoseconds ?? NaN) / 1e6));
    } else if (kind === "error") {
      const [step = "", errno = ""] = values;
      pending?.reject(new HelperRefusalError(`${step} failed with errno ${errno}`));
    }
  }
}
