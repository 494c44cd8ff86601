import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { contentTypeStreamProto, endStreamToJson } from "@connectrpc/connect/protocol-connect";
import { ErrorReason } from "@nullspace/proto";
import {
  type DialOpen,
  DialRequestSchema,
  DialResponseSchema,
  PortService,
} from "@nullspace/proto/agent";
import { END_OF_CALL, envelope, EnvelopeReader } from "@nullspace/proto/envelopes";
import { Fault, mapError } from "@nullspace/proto/fault";
import { dialPort } from "./dialing.js";

const PATH = `/${PortService.typeName}/${PortService.method.dial.name}`;
/** Longest message that is read; the server's are far shorter. */
const MOST_MESSAGE_BYTES = 1 << 20;

type Response = NonNullable<MessageInitShape<typeof DialResponseSchema>["message"]>;

/**
 * Serves `PortService.Dial` straight from HTTP/2's streams, in the one form in which the server calls
 * it: the Connect protocol, uncompressed. The library takes most of the time of a connection's first
 * bytes, and a guest that was woken by a request, under emulation, many times that.
 *
 * @param settled - waited for before a port is dialed.
 * @param onDefect - told of everything unforeseen.
 * @returns Takes a call over if it is one of those.
 */
export function takeDial(
  settled: () => Promise<void>,
  onDefect: (error: unknown) => void,
): (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean {
  return (stream, headers) => {
    if (headers[":path"] !== PATH || headers[":method"] !== "POST") return false;
    if (headers["content-type"] !== contentTypeStreamProto) return false;
    if (headers["connect-content-encoding"] !== undefined) return false;
    new DialCall(stream, settled, onDefect).begin();
    return true;
  };
}

/**
 * Passes bytes between a call and a connection to a port, each side as fast as the other takes them,
 * until both halves have ended. A call that stops before breaks the connection off.
 */
class DialCall {
  readonly #stream: ServerHttp2Stream;
  readonly #settled: () => Promise<void>;
  readonly #onDefect: (error: unknown) => void;
  readonly #envelopes = new EnvelopeReader(MOST_MESSAGE_BYTES, (flags, content) =>
    this.#receive(flags, content),
  );
  /** Aborted when nobody waits for the connection any more. */
  readonly #gone = new AbortController();
  #isOpening = false;
  #socket: Socket | undefined;
  /** What came before the connection was there: no more than one piece of the stream, which is paused then. */
  #early: Uint8Array[] = [];
  /** The caller has ended its half, and the port has been given all of it. */
  #hasEnd = false;
  #isWritten = false;
  /** The port has ended its half. */
  #isRead = false;
  #isOver = false;

  constructor(
    stream: ServerHttp2Stream,
    settled: () => Promise<void>,
    onDefect: (error: unknown) => void,
  ) {
    this.#stream = stream;
    this.#settled = settled;
    this.#onDefect = onDefect;
  }

  begin(): void {
    const stream = this.#stream;
    // A stream that breaks is closed, too.
    stream.on("error", () => undefined);
    stream.on("data", (piece: Buffer) => this.#take(piece));
    stream.on("end", () => {
      if (!this.#hasEnd) this.#fail(lost(new Error("the call stopped before it ended its half")));
    });
    stream.on("close", () => this.#stop());
    stream.on("drain", () => this.#socket?.resume());
  }

  #take(piece: Buffer): void {
    if (this.#isOver) return;
    try {
      this.#envelopes.push(piece);
    } catch (error) {
      this.#fail(error instanceof Fault ? error : invalid("is damaged", error));
    }
  }

  #receive(flags: number, content: Buffer): void {
    if (this.#isOver) return;
    if (flags !== 0) throw invalid("has flags that mean nothing here");
    if (this.#hasEnd) throw invalid("follows the end");
    const { message } = fromBinary(DialRequestSchema, content);
    if (!this.#isOpening) {
      if (message.case !== "open") throw invalid("comes before open");
      this.#isOpening = true;
      void this.#open(message.value);
    } else if (message.case === "data") this.#put(message.value);
    else if (message.case === "end") {
      this.#hasEnd = true;
      if (this.#socket !== undefined) this.#end(this.#socket);
    } else throw invalid("holds neither data nor end");
  }

  async #open({ port, host, waitMs }: DialOpen): Promise<void> {
    try {
      await this.#settled();
      const { signal } = this.#gone;
      const socket = await dialPort(port, host, waitMs, signal);
      if (this.#isOver) socket.resetAndDestroy();
      else this.#join(socket);
    } catch (error) {
      this.#fail(error);
    }
  }

  #join(socket: Socket): void {
    this.#socket = socket;
    socket.on("data", (data) => {
      if (!this.#send({ case: "data", value: data })) socket.pause();
    });
    socket.on("drain", () => this.#stream.resume());
    socket.on("end", () => {
      this.#send({ case: "end", value: {} });
      this.#isRead = true;
      this.#finishIfDone();
    });
    socket.on("error", (error) => this.#fail(lost(error)));
    socket.on("close", () => {
      if (!this.#isRead || !this.#isWritten) this.#fail(lost(socket.errored));
    });
    this.#send({ case: "opened", value: {} });
    const early = this.#early;
    this.#early = [];
    for (const data of early) this.#put(data);
    if (!socket.writableNeedDrain) this.#stream.resume();
    if (this.#hasEnd) this.#end(socket);
  }

  #put(data: Uint8Array): void {
    if (this.#socket === undefined) {
      this.#early.push(data);
      this.#stream.pause();
    } else if (!this.#socket.write(data)) this.#stream.pause();
  }

  #end(socket: Socket): void {
    socket.end(() => {
      this.#isWritten = true;
      this.#finishIfDone();
    });
  }

  /** @returns Whether there is room for more. */
  #send(message: Response): boolean {
    if (this.#isOver) return true;
    this.#respond();
    return this.#stream.write(
      envelope(toBinary(DialResponseSchema, create(DialResponseSchema, { message }))),
    );
  }

  #finishIfDone(): void {
    if (this.#isOver || !this.#isRead || !this.#isWritten) return;
    this.#isOver = true;
    this.#socket?.destroy();
    this.#finish(undefined);
  }

  #fail(cause: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#gone.abort(new Error("the call has failed"));
    this.#socket?.resetAndDestroy();
    this.#finish(cause);
  }

  /** The caller has gone. */
  #stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#gone.abort(new Error("the caller has gone"));
    this.#socket?.resetAndDestroy();
  }

  /** Tells how the call ended. */
  #finish(cause: unknown): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    const error = cause === undefined ? undefined : mapError(cause, this.#onDefect);
    const end = endStreamToJson(new Headers(), error, undefined);
    this.#respond();
    stream.end(envelope(Buffer.from(JSON.stringify(end)), END_OF_CALL));
    // Whatever the caller still sends is read by nobody.
    stream.resume();
  }

  #respond(): void {
    if (this.#stream.headersSent) return;
    this.#stream.respond({ ":status": 200, "content-type": contentTypeStreamProto });
  }
}

function invalid(what: string, cause?: unknown): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, `a request ${what}`, {
    remedy: "Send open once, as the first request, and then data or end.",
    cause,
  });
}

function lost(cause: unknown): Fault {
  const why = cause instanceof Error ? cause.message : "it was closed";
  return new Fault(ErrorReason.PORT_CONNECTION_LOST, `the connection to the port broke: ${why}`, {
    remedy: "Look at the log of the program that listens there.",
    cause,
  });
}
