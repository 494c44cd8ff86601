import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import { Duplex } from "node:stream";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { contentTypeStreamProto, endStreamFromJson } from "@connectrpc/connect/protocol-connect";
import { DialRequestSchema, DialResponseSchema, PortService } from "@nullspace/proto/agent";
import { END_OF_CALL, envelope, EnvelopeReader } from "@nullspace/proto/envelopes";
import { callAgent } from "../../channel/agent-call.js";
import { agentFault, damagedAgent, lostAgent } from "../../channel/agent-fault.js";

const PATH = `/${PortService.typeName}/${PortService.method.dial.name}`;

/** Longest part of what is written that goes in one message. */
const MOST_WRITE_BYTES = 64 << 10;
/** Longest message that is read: the agent sends what it reads at once from a socket. */
const MOST_READ_BYTES = 256 << 10;
/** How long the agent may take to finish a call after both halves have ended, in milliseconds. */
const FINISH_MS = 30_000;

/** A port of a machine. */
export interface TunnelTarget {
  /** 1 to 65535. Which of them may be reached is for the caller to decide. */
  readonly port: number;
  /** An IP address of the machine; its loopback addresses when not given. */
  readonly host?: string;
  /** How long to wait until something listens, in milliseconds; not at all when not given. */
  readonly waitMs?: number;
}

/**
 * Opens a TCP connection to a port inside a machine, through its agent's channel.
 *
 * Each half ends by itself, both have back-pressure, and no more than a message
 * is kept here. Destroying the stream resets the connection in the machine; when
 * that breaks, the stream is destroyed with the Fault that says why.
 *
 * ```ts
 * const session = await host.connectAgent(machineId, signal);
 * const tunnel = await openTunnel(session, { port: 22 }, signal);
 * socket.pipe(tunnel).pipe(socket);
 * ```
 *
 * @param session The live HTTP/2 session to the machine's agent.
 * @param signal Gives up waiting; does nothing once the connection is open.
 * @throws Fault PORT_CLOSED, INVALID_ARGUMENT, AGENT_UNREACHABLE, or the reason of the signal.
 */
export async function openTunnel(
  session: ClientHttp2Session,
  target: TunnelTarget,
  signal: AbortSignal,
): Promise<Duplex> {
  signal.throwIfAborted();
  const tunnel = new PortTunnel(requestOn(session), target);
  try {
    await once(tunnel, "opened", { signal });
    return tunnel;
  } catch (error) {
    tunnel.destroy();
    signal.throwIfAborted();
    throw error;
  }
}

/**
 * As {@link openTunnel}, but does not wait: what is written goes along with the request to
 * connect, and when nothing listens the stream is destroyed with the Fault that says so.
 *
 * @throws Fault AGENT_UNREACHABLE.
 */
export function beginTunnel(session: ClientHttp2Session, target: TunnelTarget): Duplex {
  return new PortTunnel(requestOn(session), target);
}

function requestOn(session: ClientHttp2Session): ClientHttp2Stream {
  try {
    return callAgent(session, {
      ":method": "POST",
      ":path": PATH,
      "content-type": contentTypeStreamProto,
      "connect-protocol-version": "1",
    });
  } catch (error) {
    throw lostAgent(error);
  }
}

/**
 * Not a client of Connect: one of its calls costs several times the memory of the
 * HTTP/2 stream below it, and a server holds thousands of tunnels that stand idle.
 */
class PortTunnel extends Duplex {
  readonly #call: ClientHttp2Stream;
  readonly #envelopes = new EnvelopeReader(MOST_READ_BYTES, (flags, content) =>
    this.#receive(flags, content),
  );
  /** The port has ended its half. */
  #hasEnd = false;
  #idle: NodeJS.Timeout | undefined;

  constructor(call: ClientHttp2Stream, target: TunnelTarget) {
    super({ allowHalfOpen: true });
    this.#call = call;
    // Told to who reads and writes, which may be nobody at that moment.
    this.on("error", () => undefined);
    call.on("response", ({ ":status": status, "content-type": type }) => {
      if (status !== 200 || type !== contentTypeStreamProto)
        this.destroy(damagedAgent(`status ${status}`));
    });
    call.on("data", (piece: Buffer) => this.#take(piece));
    call.on("error", (error) => this.destroy(lostAgent(error)));
    call.on("close", () => {
      // What was received may still wait to be read.
      if (!this.#hasEnd || !this.writableFinished) this.destroy(lostAgent());
    });
    const { port, host = "", waitMs = 0 } = target;
    call.write(encode({ case: "open", value: { port, host, waitMs } }));
  }

  /** As of a socket: emits "timeout" when nothing has moved for so long; 0 for never. */
  setTimeout(milliseconds: number): this {
    clearTimeout(this.#idle);
    this.#idle = undefined;
    if (milliseconds > 0) {
      this.#idle = setTimeout(() => this.emit("timeout"), milliseconds).unref();
    }
    return this;
  }

  /** As of a socket, for an `http.Agent`: the channel is no network, and never keeps the process. */
  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  override _read(): void {
    this.#call.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, callback: (error?: Error | null) => void) {
    this.#send(chunk, callback);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#call.end(encode({ case: "end", value: {} }), () => callback());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#idle);
    const isOver = error === null && this.readableEnded && this.writableFinished;
    if (isOver) {
      // The agent may still be passing on what was written: a reset would stop it.
      this.#call.setTimeout(FINISH_MS, () => this.#call.close(constants.NGHTTP2_CANCEL));
      this.#call.resume();
    } else this.#call.close(constants.NGHTTP2_CANCEL);
    callback(error);
  }

  #send(bytes: Buffer, callback: (error?: Error | null) => void): void {
    this.#idle?.refresh();
    let rest = bytes;
    while (rest.length > MOST_WRITE_BYTES) {
      this.#call.write(encode({ case: "data", value: rest.subarray(0, MOST_WRITE_BYTES) }));
      rest = rest.subarray(MOST_WRITE_BYTES);
    }
    // In order: the last of them is the last to go.
    this.#call.write(encode({ case: "data", value: rest }), callback);
  }

  #take(piece: Buffer): void {
    if (this.destroyed) return;
    this.#idle?.refresh();
    try {
      this.#envelopes.push(piece);
    } catch (error) {
      this.destroy(damagedAgent(error instanceof Error ? error.message : String(error), error));
    }
  }

  #receive(flags: number, content: Buffer): void {
    if (this.destroyed) return;
    if ((flags & END_OF_CALL) !== 0) return this.#finish(content);
    if (this.#hasEnd) throw new Error("a message follows the end");
    const { message } = fromBinary(DialResponseSchema, content);
    switch (message.case) {
      case "opened":
        this.emit("opened");
        break;
      case "data":
        if (!this.push(message.value)) this.#call.pause();
        break;
      case "end":
        this.#hasEnd = true;
        this.push(null);
        break;
      case undefined:
      default:
        throw new Error("a message holds nothing");
    }
  }

  /** The agent has said how the call ended. */
  #finish(content: Buffer): void {
    const { error } = endStreamFromJson(content);
    if (error !== undefined) this.destroy(agentFault(error));
  }
}

type Request = NonNullable<MessageInitShape<typeof DialRequestSchema>["message"]>;

function encode(message: Request): Buffer {
  return envelope(toBinary(DialRequestSchema, create(DialRequestSchema, { message })));
}
