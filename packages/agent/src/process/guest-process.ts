import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@nullspace/proto";
import {
  type OutputStream,
  type ProcessEventSchema,
  type ProcessExitSchema,
  type ProcessSchema,
} from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { ExitStatus } from "../helper/guest-helper.js";
import { KEPT_BYTES, KEPT_WHILE_READ, OutputLog } from "./output-log.js";
import type { Stdio } from "./stdio.js";
import { signalName } from "./signals.js";

type Event = MessageInitShape<typeof ProcessEventSchema>;
type Exit = MessageInitShape<typeof ProcessExitSchema>;

/** What a process was started as. */
export interface ProcessDescription {
  command: string;
  args: string[];
  cwd: string;
  user: string;
  /** Milliseconds since the epoch. */
  startedAt: number;
}

/** Largest piece of output in one message. */
const PIECE_BYTES = 64 << 10;

/** A reader this far behind stops the process's pipes; far less than what is kept, so that it never misses a byte. */
const MOST_BEHIND = 256 << 10;

/**
 * How long the pipes may stay open after the process has ended: a daemon it
 * left behind may hold them for ever.
 */
const DRAIN_MS = 200;

/** More than this cannot be left in a process's pipes when it ends: what comes after it is a daemon's. */
const MOST_IN_PIPES = 2 << 20;

/**
 * How long a process waits for a reader whose connection broke, as it waits for
 * one that is slow: long enough for a server to be started again.
 */
const RETURN_MS = 30_000;

/** From SIGTERM to SIGKILL. */
const GRACE_MS = 2_000;

interface Reader {
  offset: number;
  wake: () => void;
}

/** A process of the guest: its output so far, its readers and its end. */
export class GuestProcess {
  readonly pid: number;
  readonly description: ProcessDescription;
  readonly #stdio: Stdio;
  readonly #log = new OutputLog();
  readonly #readers = new Set<Reader>();
  readonly #watchers = new Set<Pick<Reader, "wake">>();
  /** Readers whose connection broke, which may come back. */
  readonly #lost = new Map<Reader, NodeJS.Timeout>();
  /** The agent that knew the output so far has crashed: offsets begin anew. */
  readonly #inherited: boolean;
  #onEnded: () => void = () => {};
  #status: ExitStatus | undefined;
  #exit: Exit | undefined;
  #timedOut = false;
  #timeout: NodeJS.Timeout | undefined;
  #kill: NodeJS.Timeout | undefined;
  #drain: NodeJS.Timeout | undefined;

  constructor(pid: number, description: ProcessDescription, stdio: Stdio, inherited: boolean) {
    this.pid = pid;
    this.description = description;
    this.#stdio = stdio;
    this.#inherited = inherited;
    stdio.listen({
      onOutput: (stream, data) => this.#onOutput(stream, data),
      onEnd: () => this.#settle(),
    });
  }

  get exited(): boolean {
    return this.#exit !== undefined;
  }

  /** How it ended; undefined until its output is complete. */
  get exit(): Exit | undefined {
    return this.#exit;
  }

  /** The output that is kept, both streams as they came. */
  get output(): Pick<OutputLog, "start" | "end" | "read"> {
    return this.#log;
  }

  /** Calls back once, when the process has ended and its output is complete. */
  onEnded(callback: () => void): void {
    this.#onEnded = callback;
  }

  /** The process as clients see it. */
  describe(): MessageInitShape<typeof ProcessSchema> {
    const { startedAt, ...description } = this.description;
    return {
      ...description,
      pid: this.pid,
      startedAt: timestampFromDate(new Date(startedAt)),
      outputBytes: BigInt(this.#log.end),
      ...(this.#exit && { exit: this.#exit }),
    };
  }

  /**
   * The output from an offset on, then what follows, then the exit. While the
   * consumer is slow the process waits for it.
   *
   * @param isLost says of a reader that leaves early whether it did so because its connection broke.
   * @throws the signal's reason when it aborts first.
   */
  async *follow(
    offset: number,
    signal: AbortSignal,
    isLost?: () => boolean,
  ): AsyncGenerator<Event> {
    const reader: Reader = { offset, wake: () => {} };
    const wake = () => reader.wake();
    this.#readers.add(reader);
    // Without `isLost` the reader is the agent itself, and nothing is on its way to anybody.
    if (isLost !== undefined) this.#log.limit(KEPT_WHILE_READ);
    signal.addEventListener("abort", wake);
    try {
      for (;;) {
        signal.throwIfAborted();
        const event = this.#next(reader);
        if (event === undefined) {
          await new Promise<void>((resolve) => {
            reader.wake = resolve;
          });
          continue;
        }
        yield event;
        if (event.event?.case === "exit") return;
      }
    } finally {
      signal.removeEventListener("abort", wake);
      this.#readers.delete(reader);
      if (isLost?.()) this.#awaitReturn(reader);
      else this.#shrink();
      this.#regulate();
    }
  }

  /**
   * Calls back whenever there is more output or the end, until the returned
   * function is called. Unlike a follower, a watcher never holds the process up.
   */
  watch(wake: () => void): () => void {
    const watcher = { wake };
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Writes to standard input; resolves when the process has been handed the bytes. */
  async sendInput(data: Uint8Array): Promise<void> {
    await this.#stdio.write(data);
  }

  /** Ends standard input. Ending it again is fine. */
  closeInput(): void {
    this.#stdio.closeInput();
  }

  /**
   * Signals the whole process group.
   *
   * @throws Fault PROCESS_NOT_FOUND when the process has ended.
   */
  signal(number: number): void {
    if (this.#status === undefined && this.#signalGroup(number)) return;
    throw new Fault(ErrorReason.PROCESS_NOT_FOUND, `process ${this.pid} has ended`, {
      remedy: "List the processes to see which are running.",
      details: { pid: String(this.pid) },
    });
  }

  /** Ends the process group: politely, then by force. */
  terminate(): void {
    if (this.#status !== undefined || this.#kill !== undefined) return;
    this.#signalGroup(15);
    this.#kill = setTimeout(() => this.#signalGroup(9), GRACE_MS);
  }

  /** Terminates the process after a time, and says so in its exit. */
  limitTime(milliseconds: number): void {
    // Node takes a longer delay for none at all.
    const delay = Math.min(milliseconds, 2 ** 31 - 1);
    this.#timeout = setTimeout(() => {
      this.#timedOut = true;
      this.terminate();
    }, delay);
  }

  /** Takes the end of the process itself; its output may still be on its way. */
  onExit(status: ExitStatus): void {
    this.#status = status;
    clearTimeout(this.#timeout);
    if (this.#kill !== undefined) {
      clearTimeout(this.#kill);
      // Whoever of the group did not follow the leader's good example.
      this.#signalGroup(9);
    }
    this.#settle();
  }

  #awaitReturn(reader: Reader): void {
    const timer = setTimeout(() => {
      this.#lost.delete(reader);
      this.#shrink();
      this.#regulate();
    }, RETURN_MS);
    timer.unref();
    this.#lost.set(reader, timer);
  }

  /** Whoever reads beyond where a lost reader was is that one, or has seen what it would. */
  #forgetLost(offset: number): void {
    for (const [lost, timer] of this.#lost) {
      if (lost.offset > offset) continue;
      clearTimeout(timer);
      this.#lost.delete(lost);
    }
  }

  #shrink(): void {
    if (this.#readers.size + this.#lost.size === 0) this.#log.limit(KEPT_BYTES);
  }

  #onOutput(stream: OutputStream, data: Buffer): void {
    this.#log.append(stream, data);
    this.#regulate();
    this.#wakeReaders();
  }

  /** What a reader has not seen yet, or `undefined` while there is nothing new. */
  #next(reader: Reader): Event | undefined {
    const { start, end } = this.#log;
    if (reader.offset < start) {
      const dropped = { offset: BigInt(reader.offset), bytes: BigInt(start - reader.offset) };
      reader.offset = start;
      return { event: { case: "dropped", value: dropped } };
    }
    if (reader.offset > end && this.#inherited) {
      const dropped = { offset: BigInt(reader.offset), bytes: 0n };
      reader.offset = start;
      return { event: { case: "dropped", value: dropped } };
    }
    const piece = this.#log.read(reader.offset, PIECE_BYTES);
    if (piece !== undefined) {
      reader.offset += piece.data.length;
      this.#forgetLost(reader.offset);
      this.#regulate();
      return { event: { case: "output", value: { ...piece, offset: BigInt(piece.offset) } } };
    }
    if (this.#exit === undefined) return undefined;
    this.#forgetLost(reader.offset);
    return { event: { case: "exit", value: this.#exit } };
  }

  /** Lets the pipes flow, or stops them while the slowest reader is too far behind. */
  #regulate(): void {
    let oldest = this.#log.end;
    for (const { offset } of this.#readers) oldest = Math.min(oldest, offset);
    for (const { offset } of this.#lost.keys()) oldest = Math.min(oldest, offset);
    if (this.#log.end - oldest >= MOST_BEHIND) this.#stdio.pause();
    else this.#stdio.resume();
    this.#settle();
  }

  /** Ends the process for its readers once all it has written is in the log. */
  #settle(): void {
    if (this.#status === undefined || this.#exit !== undefined) return;
    if (this.#stdio.ended) return this.#finish(this.#status);
    if (this.#stdio.paused) {
      clearTimeout(this.#drain);
      this.#drain = undefined;
      return;
    }
    const status = this.#status;
    this.#drain ??= setTimeout(() => this.#readOut(status, this.#log.end), DRAIN_MS);
  }

  /**
   * Ends the process once its pipes are empty. That its time is over does not say that
   * anybody has looked into them: an agent that is busy may come to its timers first.
   */
  #readOut(status: ExitStatus, start: number, seen = start): void {
    // After every pipe that has something in it has been read.
    setImmediate(() => {
      if (this.#exit !== undefined) return;
      if (this.#stdio.paused) {
        this.#drain = undefined;
        return;
      }
      const { end } = this.#log;
      if (end === seen || end - start > MOST_IN_PIPES) this.#finish(status);
      else this.#readOut(status, start, end);
    });
  }

  #finish({ code, signal }: ExitStatus): void {
    clearTimeout(this.#drain);
    this.#exit = {
      exitCode: signal === 0 ? code : 128 + signal,
      signal: signal === 0 ? "" : signalName(signal),
      timedOut: this.#timedOut,
    };
    this.#stdio.abandon();
    this.#wakeReaders();
    this.#onEnded();
  }

  #wakeReaders(): void {
    // Of a terminal, those who look at it come before the screen that is kept for others.
    for (const watcher of this.#watchers) watcher.wake();
    for (const reader of this.#readers) reader.wake();
  }

  #signalGroup(number: number): boolean {
    try {
      return process.kill(-this.pid, number);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
      throw error;
    }
  }
}
