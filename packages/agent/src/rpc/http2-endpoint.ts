import {
  constants,
  createServer,
  type Http2Server,
  Http2ServerRequest,
  Http2ServerResponse,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { Duplex } from "node:stream";
import type { DescService } from "@bufbuild/protobuf";
import { createContextValues, type Interceptor, type ServiceImpl } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip, connectNodeAdapter } from "@connectrpc/connect-node";
import { faultInterceptor } from "@nullspace/proto/fault";
import { connectionLost } from "./connection.js";
import { ShortWay } from "./short-way.js";

/** Bytes in flight in one stream, and in all of a connection together. */
const STREAM_WINDOW = 1 << 20;
const CONNECTION_WINDOW = 4 << 20;

/** Calls at once; each attached process is one, and each connection to a port. */
const MOST_STREAMS = 4096;

/** Largest message: a part of an upload, and room for its other fields. */
const MOST_MESSAGE_BYTES = (1 << 20) + (64 << 10);

const CONNECT_ERROR = constants.NGHTTP2_CONNECT_ERROR;

/** Takes a service and what does its calls. */
export type AddService = <S extends DescService>(
  service: S,
  implementation: Partial<ServiceImpl<S>>,
) => void;

/** Takes a call over, or says that it is none of its own; then it is untouched. */
export type TakeCall = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;

/** Serves Connect, gRPC and gRPC-Web over HTTP/2 on any byte stream. */
export class Http2Endpoint {
  readonly #server: Http2Server;
  readonly #streams = new Map<Http2Session, Duplex>();
  #mark: Uint8Array | undefined;

  /**
   * @param settled - waited for before each call: what the agent knows of its machine is true then.
   * @param onDefect - told of everything a handler throws that is not a fault.
   * @param take - sees each call before anyone else does.
   */
  constructor(
    services: (add: AddService) => void,
    settled: () => Promise<void>,
    onDefect: (error: unknown) => void,
    take: TakeCall,
  ) {
    const settle: Interceptor = (next) => async (request) => {
      await settled();
      return await next(request);
    };
    const contextValues = (call: ServerHttp2Stream) => {
      const stream = call.session && this.#streams.get(call.session);
      // The server in between resets a call so when it was the client's own connection that broke.
      const lost = () => stream?.destroyed !== false || call.rstCode === CONNECT_ERROR;
      return () => createContextValues().set(connectionLost, lost);
    };
    const shortWay = new ShortWay({
      settled,
      onDefect,
      readMaxBytes: MOST_MESSAGE_BYTES,
      contextValues,
    });
    services((service, implementation) => shortWay.add(service, implementation));
    const handle = connectNodeAdapter({
      routes: (router) =>
        services((service, implementation) => router.service(service, implementation)),
      interceptors: [faultInterceptor(onDefect), settle],
      readMaxBytes: MOST_MESSAGE_BYTES,
      // Compressed requests are understood, but no answer is compressed: the channel is memory, not a network.
      acceptCompression: [compressionGzip, compressionBrotli],
      compressMinBytes: Number.POSITIVE_INFINITY,
      contextValues: (request) => {
        if (!(request instanceof Http2ServerRequest)) return createContextValues();
        return contextValues(request.stream)();
      },
    });
    this.#server = createServer({
      settings: {
        initialWindowSize: STREAM_WINDOW,
        maxConcurrentStreams: MOST_STREAMS,
        maxHeaderListSize: 64 << 10,
        enablePush: false,
      },
      maxSessionMemory: 64,
    });
    const serve = (
      stream: ServerHttp2Stream,
      headers: IncomingHttpHeaders,
      _: number,
      rawHeaders: string[],
    ) => {
      if (take(stream, headers) || shortWay.take(stream, headers)) return;
      const request = new Http2ServerRequest(stream, headers, {}, rawHeaders);
      handle(request, new Http2ServerResponse(stream));
    };
    this.#server.on("stream", serve);
    // A session that breaks is over; its streams tell their calls. There is nobody else to tell.
    this.#server.on("sessionError", () => {});
  }

  /** Serves one connection until it ends. */
  accept(stream: Duplex): void {
    this.#server.once("session", (session) => {
      session.setLocalWindowSize(CONNECTION_WINDOW);
      this.#streams.set(session, stream);
      session.on("close", () => this.#streams.delete(session));
      this.#tell(session);
    });
    this.#server.emit("connection", stream);
  }

  /** Tells the host, in the session there is and in each that follows; see `adoptionMark`. */
  markAdopted(mark: Uint8Array): void {
    this.#mark = mark;
    for (const session of this.#streams.keys()) this.#tell(session);
  }

  #tell(session: Http2Session): void {
    // A session that ends meanwhile needs no answer.
    if (this.#mark !== undefined) session.ping(this.#mark, () => undefined);
  }

  /** Ends every connection at once. */
  [Symbol.dispose](): void {
    for (const session of this.#streams.keys()) session.destroy();
    this.#server.close();
  }
}
