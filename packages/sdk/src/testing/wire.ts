import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** When a connection breaks: after so many bytes to the server, or to the client. */
export interface Break {
  to: "server" | "client";
  bytes: number;
}

/** The network between a client and a server on this computer, which can fail as networks do. */
export class Wire implements AsyncDisposable {
  /** How the next connections break, one after the other; those that follow are whole. */
  breaks: Break[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server;
  #isSilent = false;

  private constructor(target: number) {
    this.#server = createServer({ allowHalfOpen: true }, (near) => this.#join(near, target));
  }

  /** @param target - port of the server. */
  static async open(target: number): Promise<Wire> {
    const wire = new Wire(target);
    wire.#server.listen(0, "127.0.0.1");
    await once(wire.#server, "listening");
    return wire;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the wire has no end");
    return `http://127.0.0.1:${address.port}`;
  }

  /** From now on nothing arrives and nobody is told, as with a cable that is cut. */
  silence(): void {
    this.#isSilent = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }

  #join(near: Socket, target: number): void {
    const far = connect(target, "127.0.0.1");
    const how = this.breaks.shift();
    const end = () => {
      near.destroy();
      far.destroy();
    };
    for (const [from, to, name] of [
      [near, far, "server"],
      [far, near, "client"],
    ] as const) {
      this.#sockets.add(from);
      from.on("error", end).on("close", () => {
        this.#sockets.delete(from);
        end();
      });
      let left = how?.to === name ? how.bytes : Number.POSITIVE_INFINITY;
      from.on("data", (data) => {
        if (this.#isSilent) return;
        const passed = data.subarray(0, left);
        left -= passed.length;
        // What has been passed arrives, and not a byte more.
        if (left === 0) to.write(passed, end);
        else if (!to.write(passed)) from.pause();
      });
      to.on("drain", () => from.resume());
    }
  }
}
