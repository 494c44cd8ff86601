import type { Duplex } from "node:stream";
import { type Deadline, within } from "../../deadline.js";
import { answerDecoders, type QmpCommands } from "./commands.js";
import { eventDecoders, type QmpEvents } from "./events.js";
import { FramingError, LineSplitter } from "./line-splitter.js";
import { parseMessage, type QemuVersion, type QmpMessage } from "./message.js";

/** QEMU refused a command. */
export class QmpCommandError extends Error {
  override readonly name = "QmpCommandError";

  constructor(
    /** The command that was refused. */
    readonly command: string,
    /** QEMU's class of the error: "GenericError", "CommandNotFound", ... */
    readonly errorClass: string,
    description: string,
  ) {
    super(`${command}: ${description}`);
  }
}

/** The connection ended, or broke the protocol, before an answer came. */
export class QmpClosedError extends Error {
  override readonly name = "QmpClosedError";
}

/** How long a command may take: ten seconds unless told otherwise. */
export type CommandOptions = Partial<Deadline>;

const COMMAND_TIMEOUT_MS = 10_000;

/** Far above the longest answer (`query-qmp-schema`, below 300 kB). */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

interface PendingCommand {
  name: string;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

type Listener = (data: unknown) => void;

/**
 * A connection to QEMU's monitor. Commands and events are typed; QEMU answers
 * commands in the order they were sent, so several may be under way at once.
 *
 * @example
 * await using qmp = await QmpClient.open(socket, { timeoutMs: 5000 });
 * const { running } = await qmp.execute("query-status", {});
 */
export class QmpClient implements AsyncDisposable {
  /** Resolves, never rejects, when the connection has ended for whatever reason. */
  readonly closed: Promise<void>;
  readonly #stream: Duplex;
  readonly #splitter = new LineSplitter(MAX_LINE_BYTES);
  readonly #pending = new Map<number, PendingCommand>();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #greeting = Promise.withResolvers<QemuVersion>();
  readonly #closed = Promise.withResolvers<void>();
  #nextId = 1;
  #failure: Error | undefined;

  private constructor(stream: Duplex) {
    this.#stream = stream;
    this.closed = this.#closed.promise;
    stream.on("data", (chunk: Buffer) => this.#receive(chunk));
    stream.on("error", (error) => this.#fail(error));
    stream.on("end", () => this.#fail(new Error("QEMU closed its monitor")));
    stream.on("close", () => this.#fail(new Error("the monitor's connection is closed")));
  }

  /**
   * Takes over a stream that is connected to a QMP monitor and waits for QEMU's
   * greeting. The client owns the stream from now on.
   *
   * Commands can follow at once: the answer to the negotiation is not waited
   * for, as QEMU keeps the order, and a refusal closes the connection.
   *
   * @throws QmpClosedError, DeadlineError, or the reason of the signal.
   */
  static async open(stream: Duplex, deadline: Deadline): Promise<QmpClient> {
    const client = new QmpClient(stream);
    try {
      await within(client.#greeting.promise, "QEMU's greeting", deadline);
    } catch (error) {
      stream.destroy();
      throw error;
    }
    client.execute("qmp_capabilities", {}).catch((error: Error) => client.#fail(error));
    return client;
  }

  /** QEMU's version, as its greeting told. */
  get version(): Promise<QemuVersion> {
    return this.#greeting.promise;
  }

  /**
   * Runs a command and returns its answer.
   *
   * @throws QmpCommandError when QEMU refuses, QmpClosedError when the connection
   * ends first, DeadlineError, ShapeError, or the reason of the signal.
   */
  async execute<Name extends keyof QmpCommands>(
    name: Name,
    args: QmpCommands[Name]["arguments"],
    options: CommandOptions = {},
  ): Promise<QmpCommands[Name]["return"]> {
    options.signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { name, resolve, reject });
    this.#stream.write(`${JSON.stringify({ execute: name, arguments: args, id })}\n`);
    try {
      const value = await within(promise, `the answer to ${name}`, {
        timeoutMs: options.timeoutMs ?? COMMAND_TIMEOUT_MS,
        signal: options.signal,
      });
      return answerDecoders[name](value);
    } finally {
      this.#pending.delete(id);
    }
  }

  /**
   * Calls `listener` for each event of a name until the returned function is called.
   * Events that came before are not told again.
   */
  on<Name extends keyof QmpEvents>(
    name: Name,
    listener: (data: QmpEvents[Name]) => void,
  ): () => void {
    const call: Listener = (data) => listener(eventDecoders[name](data));
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(call));
    return () => listeners.delete(call);
  }

  /**
   * Waits for the next event of a name. Call it before the command that causes the event.
   *
   * @throws QmpClosedError when the connection ends first, DeadlineError, or the signal's reason.
   */
  async once<Name extends keyof QmpEvents>(
    name: Name,
    deadline: Deadline,
  ): Promise<QmpEvents[Name]> {
    const { promise, resolve, reject } = Promise.withResolvers<QmpEvents[Name]>();
    const off = this.on(name, resolve);
    void this.closed.then(() => reject(this.#failure ?? new QmpClosedError(`no ${name} came`)));
    try {
      return await within(promise, `QEMU's event ${name}`, deadline);
    } finally {
      off();
    }
  }

  /** Ends the connection. QEMU itself goes on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.destroy();
    await this.closed;
  }

  #receive(chunk: Buffer): void {
    try {
      for (const line of this.#splitter.push(chunk)) {
        if (line.trim() !== "") this.#dispatch(parseMessage(line));
      }
    } catch (cause) {
      this.#fail(new FramingError("what the monitor sent is not QMP", { cause }));
    }
  }

  #dispatch(message: QmpMessage): void {
    switch (message.kind) {
      case "greeting":
        this.#greeting.resolve(message.version);
        return;
      case "event":
        for (const listener of this.#listeners.get(message.name) ?? []) listener(message.data);
        return;
      case "return":
        this.#pendingOf(message.id)?.resolve(message.value);
        return;
      case "error": {
        const { errorClass, description } = message;
        if (message.id === undefined) throw new FramingError(`QEMU could not read: ${description}`);
        const pending = this.#pendingOf(message.id);
        pending?.reject(new QmpCommandError(pending.name, errorClass, description));
      }
    }
  }

  /** The command that an answer belongs to; `undefined` when nobody waits for it any more. */
  #pendingOf(id: unknown): PendingCommand | undefined {
    if (typeof id !== "number") throw new FramingError("an answer names no command");
    return this.#pending.get(id);
  }

  #fail(cause: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = new QmpClosedError(`the monitor is gone: ${cause.message}`, { cause });
    this.#stream.destroy();
    this.#greeting.promise.catch(() => undefined);
    this.#greeting.reject(this.#failure);
    for (const pending of this.#pending.values()) pending.reject(this.#failure);
    this.#pending.clear();
    this.#closed.resolve();
  }
}
