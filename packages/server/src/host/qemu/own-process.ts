import type { ChildProcess } from "node:child_process";
import type { QemuProcess } from "./qemu-process.js";

/** A QEMU that this process has started. Node keeps its pid from being given to another. */
export class OwnProcess implements QemuProcess {
  readonly pid: number;
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess, pid: number) {
    this.pid = pid;
    this.#child = child;
    this.exited = new Promise((resolve) => {
      child.once("exit", () => resolve());
    });
    // A server that has nothing else to do may end: its machines go on.
    child.unref();
  }

  async kill(): Promise<void> {
    // Whoever waits for the end is something to do.
    this.#child.ref();
    this.#child.kill("SIGKILL");
    await this.exited;
  }
}
