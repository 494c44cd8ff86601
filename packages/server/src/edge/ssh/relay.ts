import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { WebSocketServer } from "ws";
import { relayToken } from "./credentials.js";
import { refuse } from "./refuse.js";
import { webSocketStream } from "./web-socket-stream.js";

/** Where a machine's sshd is. */
const SSH_PORT = 22;
/** Largest message of a WebSocket; what OpenSSH writes at once is far less. */
const MOST_MESSAGE_BYTES = 1 << 20;
/** How long a machine may take to answer on its port, in milliseconds. */
const DIAL_TIMEOUT_MS = 30_000;

/** A connection that is let through. Disposing it notes its end. */
export interface Admitted extends AsyncDisposable {
  /** Aborted when it must be cut. */
  readonly signal: AbortSignal;
}

/** What {@link SshRelay} needs of the rest of the server. */
export interface SshRelayOptions {
  /**
   * Lets a connection to a machine's sshd through.
   *
   * @throws Fault when the token is not good for it, or the machine cannot take it.
   */
  readonly admit: (
    token: string | undefined,
    machineId: string,
    signal: AbortSignal,
  ) => Promise<Admitted>;
  /** A connection to a port of a machine's loopback. */
  readonly dial: (machineId: string, port: number, signal: AbortSignal) => Promise<Duplex>;
  /** Aborted with a Fault when the server begins to stop. */
  readonly stopping: AbortSignal;
  /** Told of errors that nobody foresaw. */
  readonly onDefect: (error: unknown) => void;
}

/** A request whose connection becomes a stream: what follows its headers, and what had come already. */
export interface Handover {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** Carries SSH connections between clients and the sshd of machines. It reads none of it. */
export class SshRelay implements AsyncDisposable {
  readonly #options: SshRelayOptions;
  readonly #webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MOST_MESSAGE_BYTES,
  });
  readonly #running = new Set<Promise<void>>();

  constructor(options: SshRelayOptions) {
    this.#options = options;
  }

  /** Answers a request for a WebSocket. Never throws. */
  webSocket(machineId: string, handover: Handover): void {
    const token = relayToken(handover.request.headers.authorization);
    this.#run(
      handover,
      this.#carry(machineId, token, handover, () => webSocketStream(this.#webSockets, handover)),
    );
  }

  /** Answers a CONNECT to a machine's port 22. Never throws. */
  tunnel(machineId: string, handover: Handover): void {
    const token = relayToken(handover.request.headers["proxy-authorization"]);
    this.#run(
      handover,
      this.#carry(machineId, token, handover, () => tunnelStream(handover)),
    );
  }

  /** Resolves when every connection has ended, which the server's stopping makes them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#running);
  }

  #run({ request, socket }: Handover, carried: Promise<void>): void {
    const { onDefect } = this.#options;
    // What is wrong with it is told by its end.
    socket.on("error", () => socket.destroy());
    const running = carried
      .catch((error: unknown) => refuse(socket, request.method, error, onDefect))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #carry(
    machineId: string,
    token: string | undefined,
    { socket }: Handover,
    accept: () => Promise<Duplex> | Duplex,
  ): Promise<void> {
    const { admit, dial, stopping } = this.#options;
    stopping.throwIfAborted();
    const gone = new AbortController();
    socket.once("close", () => gone.abort(new Error("the client has gone")));
    await using connection = await admit(token, machineId, gone.signal);
    const cut = AbortSignal.any([connection.signal, stopping]);
    const limits = [cut, gone.signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)];
    const guest = await dial(machineId, SSH_PORT, AbortSignal.any(limits));
    try {
      cut.throwIfAborted();
      await join(await accept(), guest, cut, gone.signal);
    } finally {
      guest.destroy();
    }
  }
}

function tunnelStream({ socket, head }: Handover): Duplex {
  socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
  if (head.length > 0) socket.unshift(head);
  return socket;
}

/**
 * Carries bytes both ways, each way at the pace of its reader, until one side has ended or it is cut.
 *
 * @param gone Aborted when the client's connection is closed. A WebSocket whose connection was reset
 * waits for ever to be ended: nobody else tells.
 */
async function join(
  client: Duplex,
  guest: Duplex,
  signal: AbortSignal,
  gone: AbortSignal,
): Promise<void> {
  const toGuest = pipeline(client, guest, { signal });
  const toClient = pipeline(guest, client, { signal });
  const { promise: left, resolve: leave } = Promise.withResolvers<void>();
  gone.addEventListener("abort", () => leave());
  if (gone.aborted) leave();
  // How each way ends says nothing: SSH itself tells a whole conversation from a broken one.
  const told = Promise.race([toClient.finally(() => client.destroy()), left]);
  await Promise.allSettled([told, toGuest]);
  client.destroy();
}
