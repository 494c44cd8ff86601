import type { CallOptions } from "../call.js";
import type { Signal } from "../commands/options.js";
import type { AgentConnection } from "../connection.js";
import { exitOf, followPty, waitToRetry } from "./follow.js";
import { PtyInput } from "./input.js";
import type { PtyExit, PtyOutput, PtySize } from "./options.js";

/** What a {@link PtySession} is made with. */
export interface SessionOptions {
  id: string;
  pid: number;
  answersQueries: boolean;
  /** Nobody has seen anything of it yet: the first loop gets all output from its beginning. */
  isNew: boolean;
}

/**
 * A program in a terminal. The session belongs to the machine: it lives until
 * its program ends, whatever becomes of this handle and its connection. Loops
 * over it find it again by themselves when the connection is lost.
 *
 * @example
 * ```ts
 * const session = await machine.pty.create({ cols: 120, rows: 40 });
 * await session.sendInput("ls -la\r");
 * for await (const { text } of session) process.stdout.write(text);
 * ```
 */
export class PtySession implements AsyncIterable<PtyOutput>, AsyncDisposable {
  readonly id: string;
  /** Of the program. */
  readonly pid: number;
  readonly #agent: AgentConnection;
  readonly #input: PtyInput;
  readonly #answersQueries: boolean;
  readonly #disconnected = new AbortController();
  #isNew: boolean;

  /** @internal Use `pty.create` or `pty.connect`. */
  constructor(agent: AgentConnection, options: SessionOptions) {
    this.id = options.id;
    this.pid = options.pid;
    this.#agent = agent;
    this.#input = new PtyInput(agent, options.id);
    this.#answersQueries = options.answersQueries;
    this.#isNew = options.isNew;
  }

  /**
   * The screen, then what the program writes, until it ends. The first loop over
   * a session that you created begins with its first byte instead. A loop that
   * is slow holds nobody up: it is told what it missed (`skippedBytes`) and
   * given the screen anew.
   *
   * @throws NotFoundError `PTY_NOT_FOUND` when it has ended too long ago
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<PtyOutput, void, undefined> {
    const { signal } = this.#disconnected;
    if (signal.aborted) return;
    const offset = this.#isNew ? 0n : undefined;
    this.#isNew = false;
    const options = { sessionId: this.id, answersQueries: this.#answersQueries, offset, signal };
    try {
      yield* followPty(this.#agent, options);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /**
   * Types into the terminal: `"\r"` is the return key, `"\x03"` is Ctrl-C.
   * Resolves when the terminal has been handed all of it. Calls need not be
   * awaited one by one: their order is kept, and nothing is typed twice.
   *
   * @throws ConflictError `PTY_ENDED`
   */
  sendInput(data: string | Uint8Array, options: CallOptions = {}): Promise<void> {
    return this.#input.send(data, options);
  }

  /**
   * Gives the terminal another size; the program and everyone who is connected are told.
   *
   * @throws ConflictError `PTY_ENDED`
   */
  async resize(size: PtySize, options: CallOptions = {}): Promise<void> {
    const request = { sessionId: this.id, size: { cols: size.cols, rows: size.rows } };
    await this.#agent.unary(options, (attempt) => this.#agent.ptys.resize(request, attempt), {
      idempotent: true,
    });
  }

  /**
   * Resolves when the program has ended. There is no limit of time unless you set one.
   *
   * @throws CancelledError after {@link disconnect}
   */
  async wait(options: CallOptions = {}): Promise<PtyExit> {
    const { signal: disconnected } = this.#disconnected;
    const signal = options.signal ? AbortSignal.any([options.signal, disconnected]) : disconnected;
    const request = { sessionId: this.id };
    for (let failures = 0; ; failures++) {
      try {
        const { exit } = await this.#agent.unary(
          { ...options, signal },
          (attempt) => this.#agent.ptys.wait(request, attempt),
          { idempotent: true, defaultTimeoutMs: 0 },
        );
        return exitOf(exit);
      } catch (error) {
        await waitToRetry(error, failures, signal);
      }
    }
  }

  /**
   * Signals the program and everything in its terminal; `SIGKILL` when not given.
   *
   * @throws ConflictError `PTY_ENDED`
   */
  async kill(signal: Signal = "SIGKILL", options: CallOptions = {}): Promise<void> {
    const request = { sessionId: this.id, signal };
    await this.#agent.unary(options, (attempt) => this.#agent.ptys.sendSignal(request, attempt));
  }

  /** Ends every loop and wait of this handle. The program runs on. */
  disconnect(): void {
    this.#disconnected.abort(new Error("the session was disconnected"));
  }

  /** Same as {@link disconnect}: the program runs on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.disconnect();
  }
}
