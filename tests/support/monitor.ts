import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseJson } from "./json.js";

/** The second monitor of a machine's QEMU, as an operator could use it beside the server. */
export class Monitor implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  static async open(home: string, machineId: string): Promise<Monitor> {
    const monitor = new Monitor(connect(join(home, "machines", machineId, "qmp.sock")));
    await monitor.execute("qmp_capabilities");
    return monitor;
  }

  /** Sends a command and gives its answer; events that come meanwhile are passed over. */
  async execute(command: string, args: object = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    for (;;) {
      const line = await this.#lines.next();
      if (line.done === true) throw new Error(`${command}: the monitor has closed`);
      const message = parseJson(line.value);
      const error: unknown = Reflect.get(Object(message), "error");
      if (error !== undefined) throw new Error(`${command}: ${JSON.stringify(error)}`);
      const answer: unknown = Reflect.get(Object(message), "return");
      if (answer !== undefined) return answer;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#socket, "close");
    this.#socket.destroy();
    await closed;
  }
}
