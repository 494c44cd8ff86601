import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/**
 * `native/channel-pump.c`: carries bytes between a virtio-serial port, which Node cannot
 * wait for, and the Unix socket of a {@link SocketPort}. It ends with this process.
 */
export class PortPump implements AsyncDisposable {
  /** Rejects when the pump has ended: without it no host can be met any more. */
  readonly lost: Promise<never>;
  readonly #child: ChildProcess;

  /**
   * @param program - the compiled pump.
   * @param portName - as the host gave it on QEMU's command line.
   */
  constructor(program: string, portName: string, socketPath: string) {
    this.#child = spawn(program, [portName, socketPath], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    this.lost = once(this.#child, "exit").then(([code, signal]: unknown[]) => {
      throw new Error(`${program} ended with ${String(code ?? signal)}`);
    });
    // Handled here too: whoever started it may have failed before it could look.
    this.lost.catch(() => {});
  }

  /** Ends the pump: for the host, the port is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.lost.catch(() => {});
  }
}
