import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import {
  createServer as createTlsServer,
  type Server as TlsServer,
  type TLSSocket,
} from "node:tls";
import { StartError } from "../start-error.js";
import { sniffProtocol } from "./sniff.js";

/** Longest time for a connection to send its first request's headers, in milliseconds. */
const HEADERS_TIMEOUT_MS = 15_000;
/** Longest headers of one request, in bytes. */
const MAX_HEADER_BYTES = 32 << 10;
/** Bytes in flight in one HTTP/2 stream: bulk transfer is not bound by round trips. */
const STREAM_WINDOW = 1 << 20;
/** Bytes in flight in a whole HTTP/2 connection: several stalled streams must not stop the others. */
const CONNECTION_WINDOW = 8 << 20;
/** Calls at a time on one HTTP/2 connection. */
const MAX_STREAMS = 1000;
/** Memory of one HTTP/2 connection's own state, in MB. */
const MAX_SESSION_MEMORY_MB = 64;
const MAX_CONNECTIONS = 10_000;
/** Idle time after which the system asks whether the other end is still there, in milliseconds. */
const KEEP_ALIVE_DELAY_MS = 30_000;
/** How long an idle HTTP/1.1 connection is kept for another request, in milliseconds. */
const IDLE_TIMEOUT_MS = 65_000;

/** Handles a request of either protocol. */
export type RequestHandler = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void;

/** Takes connections that are to speak another protocol than HTTP from then on. */
export interface UpgradeHandler {
  /** Whether a request that asks for another protocol gets it; others are answered as if they had not asked. */
  readonly wants: (request: IncomingMessage) => boolean;
  /** Takes the connection over. */
  readonly take: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** Takes the connection of a CONNECT over, whatever it asks for. */
  readonly connect: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

/** A certificate with its chain, and its key, as PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Where to listen. */
export interface ListenOptions {
  /** Address of an interface, as `127.0.0.1` or `::`. */
  readonly host: string;
  /** 0 for any port that is free. */
  readonly port: number;
  readonly onRequest: RequestHandler;
  readonly upgrades: UpgradeHandler;
  /** For connections that begin with TLS; they are closed without it. */
  readonly certificate: Certificate | undefined;
}

/** One open port that speaks HTTP/1.1 and HTTP/2, in the clear or through TLS. */
export class Listener {
  readonly #http1: Server;
  readonly #http2: Http2Server;
  readonly #tls: TlsServer | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #responses = new Set<object>();
  /** What makes HTTP/1.1 of a connection. */
  readonly #serveHttp1: readonly Function[];
  #onIdle: (() => void) | undefined;

  private constructor({ onRequest, upgrades, certificate }: ListenOptions) {
    const handle: RequestHandler = (request, response) => {
      this.#responses.add(response);
      response.once("close", () => {
        this.#responses.delete(response);
        if (this.#responses.size === 0) this.#onIdle?.();
      });
      onRequest(request, response);
    };
    this.#http1 = createServer(
      {
        headersTimeout: HEADERS_TIMEOUT_MS,
        keepAliveTimeout: IDLE_TIMEOUT_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
        // Uploads take as long as they take: their callers have deadlines.
        requestTimeout: 0,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
        shouldUpgradeCallback: upgrades.wants,
      },
      handle,
    );
    this.#http1.on("upgrade", upgrades.take);
    this.#http1.on("connect", upgrades.connect);
    this.#http1.maxConnections = MAX_CONNECTIONS;
    this.#serveHttp1 = this.#http1.listeners("connection");
    this.#http2 = createHttp2Server(
      {
        settings: {
          initialWindowSize: STREAM_WINDOW,
          maxConcurrentStreams: MAX_STREAMS,
          maxHeaderListSize: MAX_HEADER_BYTES,
          enablePush: false,
        },
        maxSessionMemory: MAX_SESSION_MEMORY_MB,
      },
      handle,
    );
    this.#http2.on("session", (session) => {
      session.setLocalWindowSize(CONNECTION_WINDOW);
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
    });
    // A connection that breaks the protocol is closed; its streams tell their calls.
    this.#http2.on("sessionError", () => undefined);
    this.#tls = certificate && this.#listenSecurely(certificate);
    this.#shareConnections();
  }

  /**
   * Opens the port.
   *
   * @throws StartError when the port is taken or may not be used.
   */
  static async open(options: ListenOptions): Promise<Listener> {
    const { host, port } = options;
    const listener = new Listener(options);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    listener.#http1.once("error", (error) => reject(cannotListen(error, host, port)));
    listener.#http1.listen({ host, port }, resolve);
    await promise;
    return listener;
  }

  /** The port that is open: the one that was asked for, or the one that was free. */
  get port(): number {
    const address: AddressInfo | string | null = this.#http1.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return address.port;
  }

  /**
   * Closes the port: no new connections, then waits for the calls in progress,
   * then ends what is left.
   *
   * @param graceMs Longest time for calls in progress, in milliseconds.
   */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#http1.close(() => resolve()));
    for (const session of this.#sessions) session.close();
    await this.#untilIdle(graceMs);
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroySoon();
    this.#http1.closeAllConnections();
    await closed;
  }

  async #untilIdle(graceMs: number): Promise<void> {
    if (this.#responses.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onIdle = resolve;
    const timer = setTimeout(resolve, graceMs);
    await promise;
    clearTimeout(timer);
  }

  /** Puts a look at the first bytes before HTTP/1.1, and hands what is something else to others. */
  #shareConnections(): void {
    this.#http1.removeAllListeners("connection");
    this.#http1.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      sniffProtocol(socket, HEADERS_TIMEOUT_MS, (protocol) => {
        if (protocol !== "tls") this.#serve(socket, protocol);
        else if (this.#tls === undefined) socket.destroy();
        else this.#tls.emit("connection", socket);
      });
    });
  }

  #serve(socket: Socket, protocol: "http1" | "http2"): void {
    if (protocol === "http2") {
      // HTTP/1.1 clients may close their half early; in HTTP/2 that ends the connection.
      socket.allowHalfOpen = false;
      this.#http2.emit("connection", socket);
    } else for (const serve of this.#serveHttp1) serve.call(this.#http1, socket);
  }

  /** Takes what is inside of TLS as it takes the rest: the protocol was agreed upon already. */
  #listenSecurely({ cert, key }: Certificate): TlsServer {
    const protocols = ["h2", "http/1.1"];
    const server = createTlsServer({
      cert,
      key,
      ALPNProtocols: protocols,
      handshakeTimeout: HEADERS_TIMEOUT_MS,
    });
    server.on("secureConnection", (socket: TLSSocket) => {
      this.#serve(socket, socket.alpnProtocol === "h2" ? "http2" : "http1");
    });
    // A client that breaks off, or believes no certificate of ours: there is nobody to tell.
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    return server;
  }
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): StartError {
  const where = `${host}:${port}`;
  switch (error.code ?? "") {
    case "EADDRINUSE":
      return new StartError(`port ${port} on ${host} is in use`, {
        remedy:
          "Choose another with --port (0 takes any that is free), or stop the program that has it: `ss -ltnp` names it.",
        cause: error,
      });
    case "EACCES":
      return new StartError(`not allowed to listen on ${where}`, {
        remedy: "Choose a port above 1023 with --port, or run as root.",
        cause: error,
      });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new StartError(`this machine has no address ${host}`, {
        remedy: "Give --host an address of this machine: 127.0.0.1, or 0.0.0.0 for all.",
        cause: error,
      });
    default:
      return new StartError(`cannot listen on ${where}: ${error.message}`, {
        remedy: "Choose another address with --host and --port.",
        cause: error,
      });
  }
}
