import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CHANNEL_KEY_BYTES, CHANNEL_NONCE_BYTES } from "@nullspace/proto/channel";
import { AGENT_SOCKET } from "../host/qemu/command-line.js";
import { FLAG, FRAME, frame, headerBlock, PREFACE } from "./http2-frames.js";

const PREAMBLE_BYTES = CHANNEL_KEY_BYTES + CHANNEL_NONCE_BYTES;
const HEAD_BYTES = 9;

/** What a hostile guest does with a connection. */
export type Attack = (port: GuestPort) => Promise<void>;

/** A machine's folder, with the socket that QEMU would make there, and a guest behind it that means harm. */
export class HostileGuest implements AsyncDisposable {
  readonly #server: Server;
  readonly #ports = new Set<GuestPort>();
  attack: Attack = async () => {};

  private constructor(
    /** The machine's folder. */
    readonly directory: string,
    server: Server,
  ) {
    this.#server = server;
    server.on("connection", (socket) => {
      const port = new GuestPort(socket);
      this.#ports.add(port);
      socket.once("close", () => this.#ports.delete(port));
      void this.attack(port);
    });
  }

  static async start(attack?: Attack): Promise<HostileGuest> {
    const directory = await mkdtemp(join(tmpdir(), "hostile-guest-"));
    const server = createServer({ allowHalfOpen: true });
    const guest = new HostileGuest(directory, server);
    if (attack !== undefined) guest.attack = attack;
    server.listen(join(directory, AGENT_SOCKET));
    await once(server, "listening");
    return guest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const port of this.#ports) port.close();
    this.#server.close();
    await once(this.#server, "close");
    await rm(this.directory, { recursive: true });
  }
}

/** The guest's end of one connection. */
export class GuestPort {
  readonly #socket: Socket;
  readonly #preamble = Promise.withResolvers<Buffer>();
  readonly #requests = new Map<number, PromiseWithResolvers<void>>();
  #unread = Buffer.alloc(0);
  #preambleBytes = PREAMBLE_BYTES;
  #prefaceBytes = PREFACE.length;
  /** Bytes that the host, or the kernel for it, has taken. */
  sent = 0;
  /** Resolves when the host has hung up. */
  readonly hungUp: Promise<void>;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.hungUp = new Promise((resolve) => {
      socket.once("close", () => resolve());
      socket.once("end", () => resolve());
    });
    socket.on("error", () => undefined);
    socket.on("data", (bytes: Buffer) => {
      this.#unread = Buffer.concat([this.#unread, bytes]);
      this.#read();
    });
  }

  /** The nonce that the host has sent. */
  async nonce(): Promise<Buffer> {
    const preamble = await this.#preamble.promise;
    return preamble.subarray(CHANNEL_KEY_BYTES);
  }

  /** Answers as an agent does, and begins HTTP/2. Resolves when the host has begun it too. */
  async begin(): Promise<void> {
    await this.send(await this.nonce());
    await this.send(frame(FRAME.settings, 0, 0, Buffer.alloc(0)));
    await this.#frame(0);
    await this.send(frame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(0)));
  }

  /** Resolves when the host has made its nth call. */
  async call(nth: number): Promise<number> {
    const stream = 2 * nth - 1;
    await this.#frame(stream);
    return stream;
  }

  /** Answers a call with headers, as an agent does that goes on to say something. */
  async answer(nth: number, contentType = "application/proto"): Promise<number> {
    const stream = await this.call(nth);
    const headers = headerBlock([
      [":status", "200"],
      ["content-type", contentType],
    ]);
    await this.send(frame(FRAME.headers, FLAG.endHeaders, stream, headers));
    return stream;
  }

  /** Sends bytes at the pace of the host. Tells whether the host still listens. */
  async send(bytes: Buffer): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#socket.write(bytes, (error) => resolve(error === null || error === undefined));
    const taken = await promise;
    if (taken) this.sent += bytes.length;
    return taken;
  }

  /** Sends the same again and again until the host hangs up. */
  async flood(bytes: Buffer): Promise<void> {
    const repeats = Math.max(1, Math.floor((64 << 10) / bytes.length));
    const batch = Buffer.concat(Array.from({ length: repeats }, () => bytes));
    while (await this.send(batch));
  }

  close(): void {
    this.#socket.destroy();
  }

  async #frame(stream: number): Promise<void> {
    await this.#requestOf(stream).promise;
  }

  #requestOf(stream: number): PromiseWithResolvers<void> {
    const request = this.#requests.get(stream) ?? Promise.withResolvers<void>();
    this.#requests.set(stream, request);
    return request;
  }

  /** Takes apart what the host has sent, as far as it is of interest: on which streams it sends what. */
  #read(): void {
    if (this.#preambleBytes > 0) {
      if (this.#unread.length < PREAMBLE_BYTES) return;
      this.#preamble.resolve(this.#take(PREAMBLE_BYTES));
      this.#preambleBytes = 0;
    }
    if (this.#prefaceBytes > 0) {
      if (this.#unread.length < PREFACE.length) return;
      this.#take(PREFACE.length);
      this.#prefaceBytes = 0;
    }
    while (this.#unread.length >= HEAD_BYTES) {
      const length = this.#unread.readUIntBE(0, 3);
      if (this.#unread.length < HEAD_BYTES + length) return;
      const head = this.#take(HEAD_BYTES + length);
      const stream = head.readUInt32BE(5);
      // The host's own have odd numbers.
      if (stream === 0 || stream % 2 === 1) this.#requestOf(stream).resolve();
    }
  }

  #take(length: number): Buffer {
    const bytes = this.#unread.subarray(0, length);
    this.#unread = this.#unread.subarray(length);
    return bytes;
  }
}
