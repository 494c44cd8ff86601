import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@nullspace/proto";
import type { PtyServiceConnectResponseSchema, PtySessionSchema } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { GuestProcess } from "../process/guest-process.js";
import { InputOrder } from "./input-order.js";
import type { Screen, Size } from "./screen.js";
import { signalSession } from "./session-signal.js";

type Event = NonNullable<MessageInitShape<typeof PtyServiceConnectResponseSchema>["event"]>;

/** Largest piece of output in one message. */
const PIECE_BYTES = 64 << 10;

/** A viewer this far behind is shown the screen instead of all that it has missed. */
const MOST_BEHIND = 256 << 10;

/** What a viewer asks for. */
export interface View {
  size: Size | undefined;
  /** It has all output before this. */
  offset: number | undefined;
  answersQueries: boolean;
}

/**
 * A program in a terminal. The session reads all output and keeps the screen;
 * viewers read what the process keeps of its output, each at its own pace, and
 * never hold the program or each other up.
 */
export class PtySession {
  readonly id: string;
  readonly #process: GuestProcess;
  readonly #screen: Screen;
  readonly #setSize: (size: Size) => Promise<void>;
  readonly #input: InputOrder;
  /** Each with what wakes it. */
  readonly #viewers = new Map<View, () => void>();
  /** The screen shows all output before this. */
  #shown = 0;
  #size: Size;
  /** From where on the output is for this size. */
  #sizeOffset = 0;
  /** A piece is being shown: the screen is between two states. */
  #busy = false;
  /** What waits for the end of that. */
  #between: (() => void)[] = [];
  /** The last of a program that has ended. */
  #lastScreen: Buffer | undefined;

  /** @param setSize tells the kernel of the terminal's size. */
  constructor(
    id: string,
    process: GuestProcess,
    screen: Screen,
    size: Size,
    setSize: (size: Size) => Promise<void>,
  ) {
    this.id = id;
    this.#process = process;
    this.#screen = screen;
    this.#size = size;
    this.#setSize = setSize;
    this.#input = new InputOrder((data) => this.#type(data));
    screen.onReply((reply) => this.#answer(reply));
  }

  get ended(): boolean {
    return this.#lastScreen !== undefined;
  }

  /** Shows the output until the program ends. To be called once. */
  async run(): Promise<void> {
    const forever = new AbortController().signal;
    for await (const { event } of this.#process.follow(0, forever)) {
      if (event?.case === "dropped") this.#shown = Number(event.value.offset);
      if (event?.case !== "output" || event.value.data === undefined) continue;
      this.#busy = true;
      await this.#screen.write(event.value.data);
      this.#shown += event.value.data.length;
      this.#settle();
    }
    this.#lastScreen = this.#screen.paint();
    this.#screen[Symbol.dispose]();
  }

  /** The session as clients see it. */
  describe(): MessageInitShape<typeof PtySessionSchema> {
    const { startedAt, command, args, cwd, user } = this.#process.description;
    const { exit } = this.#process;
    return {
      sessionId: this.id,
      pid: this.#process.pid,
      command,
      args,
      cwd,
      user,
      startedAt: timestampFromDate(new Date(startedAt)),
      size: this.#size,
      viewers: this.#viewers.size,
      outputBytes: BigInt(this.#process.output.end),
      ...(exit && { exit }),
    };
  }

  /**
   * Paints the screen, then tells what follows, then the exit.
   *
   * @throws the signal's reason when it aborts first.
   */
  async *view(view: View, signal: AbortSignal): AsyncGenerator<Event> {
    if (view.size !== undefined && this.#process.exit === undefined) await this.resize(view.size);
    let wake = () => {};
    const onChange = () => wake();
    const unwatch = this.#process.watch(onChange);
    signal.addEventListener("abort", onChange);
    this.#viewers.set(view, onChange);
    try {
      const { output } = this.#process;
      let at = view.offset;
      let size = this.#size;
      for (;;) {
        signal.throwIfAborted();
        if (
          at === undefined ||
          at < output.end - MOST_BEHIND ||
          at < output.start ||
          at > output.end
        ) {
          const painted = await this.#paint(at);
          at = painted.offset;
          size = painted.size;
          yield { case: "screen", value: { ...painted, offset: BigInt(at) } };
          continue;
        }
        if (size !== this.#size && at >= this.#sizeOffset) {
          size = this.#size;
          yield { case: "resized", value: size };
          continue;
        }
        const most = size === this.#size ? PIECE_BYTES : this.#sizeOffset - at;
        const piece = output.read(at, Math.min(PIECE_BYTES, most));
        if (piece !== undefined) {
          yield { case: "output", value: { offset: BigInt(at), data: piece.data } };
          at += piece.data.length;
          continue;
        }
        const { exit } = this.#process;
        if (exit !== undefined) {
          yield { case: "exit", value: exit };
          return;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      unwatch();
      signal.removeEventListener("abort", onChange);
      this.#viewers.delete(view);
    }
  }

  /**
   * Types for a writer, in the order of its sequence numbers.
   *
   * @throws Fault PTY_ENDED; the signal's reason when it aborts before its turn.
   */
  send(
    writer: string,
    sequence: bigint,
    data: Uint8Array,
    signal: () => AbortSignal,
  ): Promise<void> {
    return this.#input.send(writer, sequence, data, signal);
  }

  /**
   * Gives the terminal another size; every viewer is told.
   *
   * @throws Fault PTY_ENDED.
   */
  async resize(size: Size): Promise<void> {
    if (this.#process.exit !== undefined) throw ended(this.id);
    const changed = await this.#whenSettled(() => {
      if (this.ended || (this.#size.cols === size.cols && this.#size.rows === size.rows))
        return false;
      this.#screen.resize(size);
      this.#size = size;
      this.#sizeOffset = this.#shown;
      for (const wake of this.#viewers.values()) wake();
      return true;
    });
    if (!changed) return;
    await this.#setSize(size);
  }

  /** Resolves with the end of the program, or when the signal aborts. */
  async exit(signal: AbortSignal) {
    let wake = () => {};
    const onChange = () => wake();
    const unwatch = this.#process.watch(onChange);
    signal.addEventListener("abort", onChange);
    try {
      while (this.#process.exit === undefined) {
        signal.throwIfAborted();
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return this.#process.exit;
    } finally {
      unwatch();
      signal.removeEventListener("abort", onChange);
    }
  }

  /**
   * Signals every process of the session.
   *
   * @throws Fault PTY_ENDED.
   */
  signal(number: number): void {
    if (this.#process.exit !== undefined || !signalSession(this.#process.pid, number)) {
      throw ended(this.id);
    }
  }

  async #type(data: Uint8Array): Promise<void> {
    try {
      await this.#process.sendInput(data);
    } catch (error) {
      if (error instanceof Fault && error.reason === ErrorReason.STDIN_CLOSED) throw ended(this.id);
      throw error;
    }
  }

  /** What a program asks its terminal, the viewers' terminals answer; ours does while there are none. */
  #answer(reply: string): void {
    for (const { answersQueries } of this.#viewers.keys()) if (answersQueries) return;
    // It may have asked and ended.
    this.#type(Buffer.from(reply)).catch(() => {});
  }

  #paint(missedFrom: number | undefined) {
    return this.#whenSettled(() => {
      const offset = this.#shown;
      const skipped = missedFrom === undefined ? 0 : Math.max(0, offset - missedFrom);
      const data = this.#lastScreen ?? this.#screen.paint();
      return { size: this.#size, data, offset, skippedBytes: BigInt(skipped) };
    });
  }

  /** Does something while no piece of output is half shown. */
  #whenSettled<T>(act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = () => {
        try {
          resolve(act());
        } catch (error) {
          reject(error);
        }
      };
      if (this.#busy) this.#between.push(run);
      else run();
    });
  }

  #settle(): void {
    this.#busy = false;
    const waiting = this.#between;
    this.#between = [];
    for (const run of waiting) run();
  }
}

function ended(id: string): Fault {
  return new Fault(ErrorReason.PTY_ENDED, `the program of the terminal session ${id} has ended`, {
    remedy: "Create another session.",
    details: { session_id: id },
  });
}
