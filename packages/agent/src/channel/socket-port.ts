import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import type { Port } from "./port.js";

const GONE = Buffer.alloc(0);

/**
 * A Unix socket where hosts are met: each connection is one that comes, and ends
 * the one before. In a machine they come through {@link PortPump}.
 */
export class SocketPort implements Port {
  readonly #server: Server;
  #host: Socket | undefined;
  #arrival = Promise.withResolvers<void>();
  /** Called when there may be something to read, or nothing any more. */
  #wake = () => {};

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => this.#accept(socket));
  }

  /** Listens at a path; what is left there by an earlier process is replaced. */
  static async listen(path: string): Promise<SocketPort> {
    await rm(path, { force: true });
    const server = createServer({ pauseOnConnect: true });
    const port = new SocketPort(server);
    server.listen(path);
    await once(server, "listening");
    return port;
  }

  async read(): Promise<Buffer> {
    const host = this.#host;
    if (host === undefined) return GONE;
    for (;;) {
      if (host !== this.#host || host.destroyed || host.readableEnded) break;
      const chunk: unknown = host.read();
      if (chunk instanceof Buffer) return chunk;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    host.destroy();
    if (this.#host === host) this.#host = undefined;
    return GONE;
  }

  async write(bytes: Buffer): Promise<number> {
    const host = this.#host ?? (await this.#nextHost());
    await new Promise<void>((resolve) => {
      // A host that goes takes what it did not read with it, as a virtio port does.
      host.write(bytes, () => resolve());
    });
    return bytes.length;
  }

  async waitForHost(): Promise<void> {
    if (this.#host === undefined) await this.#nextHost();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#host?.destroy();
    if (this.#server.listening) {
      this.#server.close();
      await once(this.#server, "close");
    }
  }

  async #nextHost(): Promise<Socket> {
    while (this.#host === undefined) await this.#arrival.promise;
    return this.#host;
  }

  #accept(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    for (const event of ["readable", "end", "close"]) socket.on(event, () => this.#wake());
    this.#host?.destroy();
    this.#host = socket;
    this.#arrival.resolve();
    this.#arrival = Promise.withResolvers<void>();
  }
}
