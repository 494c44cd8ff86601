import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";

/** Where a {@link Channel} is opened. */
export interface ChannelPlace {
  /** The compiled `native/channel-pump.c`. */
  program: string;
  /** A virtio-serial port, by the name that the host gave it; or the path of a Unix socket to listen at. */
  port: string;
  /** A folder that is nobody else's: whoever may open a socket in it is served as the host. */
  folder: string;
}

/**
 * The agent's end of the channel: a succession of sessions out of the one byte stream of a
 * port. A program of its own, `native/channel-pump.c`, looks for the key that begins each,
 * and hands its bytes to us in a socket: see `@nullspace/proto/channel`.
 */
export class Channel implements AsyncDisposable {
  /** Rejects when the program has ended: without it no host can be met any more. */
  readonly lost: Promise<never>;
  readonly #child: ChildProcess;
  readonly #server: Server;
  #session: Socket | undefined;
  #onSession: ((session: Socket) => void) | undefined;

  private constructor(child: ChildProcess, server: Server) {
    this.#child = child;
    this.#server = server;
    server.on("connection", (session) => this.#begin(session));
    // It says itself why it ends.
    child.stdin?.on("error", () => undefined);
    this.lost = once(child, "exit").then(([code, signal]: unknown[]) => {
      throw new Error(`the channel's program ended with ${String(code ?? signal)}`);
    });
    // Handled here too: whoever opened it may have failed before it could look.
    this.lost.catch(() => {});
  }

  /** Resolves when hosts can come; they are served from {@link serve} on. */
  static async open({ program, port, folder }: ChannelPlace): Promise<Channel> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, "sessions.sock");
    // Of an agent that has crashed.
    await rm(path, { force: true });
    const server = createServer();
    server.listen(path);
    await once(server, "listening");
    const child = spawn(program, [port, path], { stdio: ["pipe", "pipe", "inherit"] });
    const channel = new Channel(child, server);
    try {
      await Promise.race([text(child.stdout), channel.lost]);
      return channel;
    } catch (error) {
      await channel[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Begins to serve hosts, one after the other.
   *
   * @param key - what begins the first session, 32 bytes.
   * @param onSession - called with the byte stream of each session, when the former one has been destroyed.
   */
  serve(key: Uint8Array, onSession: (session: Socket) => void): void {
    this.#onSession = onSession;
    this.setKey(key);
  }

  /** Sets the key that begins the next session. The one there is goes on. */
  setKey(key: Uint8Array): void {
    this.#child.stdin?.write(Buffer.concat([Buffer.from("k"), key]));
  }

  /**
   * As {@link setKey}, once the session of a nonce has begun: the host that makes the key
   * known opens that session by the former one, and either may get here first.
   */
  setKeyWithin(nonce: Uint8Array, key: Uint8Array): void {
    this.#child.stdin?.write(Buffer.concat([Buffer.from("w"), nonce, key]));
  }

  /** Ends the session there is, and the program: for the host, the port is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    this.#session?.destroy();
    this.#server.close();
    await Promise.all([this.lost.catch(() => {}), once(this.#server, "close")]);
  }

  #begin(session: Socket): void {
    session.on("error", () => session.destroy());
    this.#session?.destroy();
    this.#session = session;
    this.#onSession?.(session);
  }
}
