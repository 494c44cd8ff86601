import { constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { ErrorReason } from "@nullspace/proto";
import { OutputStream } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { HeldProcess } from "../helper/guest-helper.js";

/** Told what comes out of a process. */
export interface StdioListener {
  onOutput(stream: OutputStream, data: Buffer): void;
  /** Nothing more can come. */
  onEnd(): void;
}

/** The agent's ends of a process's pipes. */
export class Stdio {
  readonly #outputs: readonly (readonly [OutputStream, Socket])[];
  readonly #input: Socket | undefined;
  readonly #closeInput: () => void;
  #paused = false;
  #open: number;

  /**
   * Opens the pipes that the helper holds, through its folder in /proc.
   *
   * @param closeInput makes the helper close its own end of standard input.
   */
  constructor(helperPid: number, held: HeldProcess, closeInput: () => void) {
    const path = (fd: number) => `/proc/${helperPid}/fd/${fd}`;
    const outputs: [OutputStream, number][] = [
      [OutputStream.STDOUT, held.stdout],
      [OutputStream.STDERR, held.stderr],
    ];
    this.#outputs = outputs
      .filter(([, fd]) => fd >= 0)
      .map(([stream, fd]) => [stream, openReader(path(fd))]);
    this.#open = this.#outputs.length;
    this.#closeInput = closeInput;
    if (held.stdin >= 0) this.#input = openWriter(path(held.stdin));
  }

  /** Every output has ended. */
  get ended(): boolean {
    return this.#open === 0;
  }

  get paused(): boolean {
    return this.#paused;
  }

  listen(listener: StdioListener): void {
    for (const [stream, socket] of this.#outputs) {
      socket.on("data", (data: Buffer) => listener.onOutput(stream, data));
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        this.#open--;
        if (this.#open === 0) listener.onEnd();
      });
    }
  }

  /** Leaves output in the pipes: the process waits once they are full. */
  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    for (const [, socket] of this.#outputs) socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    for (const [, socket] of this.#outputs) socket.resume();
  }

  /**
   * Reads on without looking: what a daemon left behind writes interests
   * nobody any more, but it must not die of a closed pipe.
   */
  abandon(): void {
    for (const [, socket] of this.#outputs) {
      socket.removeAllListeners("data");
      socket.resume();
    }
    this.#input?.destroy();
  }

  /**
   * Writes to standard input and resolves when the kernel has taken all of it.
   *
   * @throws Fault STDIN_CLOSED when it is not open, or its reader goes.
   */
  write(data: Uint8Array): Promise<void> {
    const input = this.#input;
    if (input === undefined || !input.writable) throw stdinClosed();
    return new Promise((resolve, reject) => {
      input.write(data, (error) => {
        if (error) reject(stdinClosed(error));
        else resolve();
      });
    });
  }

  closeInput(): void {
    if (this.#input === undefined || !this.#input.writable) return;
    this.#input.end();
    this.#closeInput();
  }
}

function stdinClosed(cause?: Error): Fault {
  return new Fault(ErrorReason.STDIN_CLOSED, "the process has no open standard input", {
    remedy: "Start it with stdin set, and send input before closing it.",
    cause,
  });
}

function openReader(path: string): Socket {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

function openWriter(path: string): Socket {
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const socket = new Socket({ fd, readable: false, writable: true });
  // Whoever writes is told through its own callback.
  socket.on("error", () => socket.destroy());
  return socket;
}
