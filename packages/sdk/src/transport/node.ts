import { type ClientHttp2Stream, constants, type OutgoingHttpHeaders } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { ClosableTransport, KeepAlive, TransportOptions } from "./transport.js";

/**
 * A connection with open calls that says nothing for ten seconds is asked
 * whether it is alive; without an answer within fifteen it is dead, and its calls fail.
 */
const KEEP_ALIVE: KeepAlive = { pingIntervalMs: 10_000, pingTimeoutMs: 15_000 };

/** What a stream may send before it is read: keeps the pipe full without holding much. */
const STREAM_WINDOW_BYTES = 1024 * 1024;
/**
 * The window that all streams share is as large as HTTP/2 allows: each stream
 * has its own bound, and one that nobody reads must not stop the others.
 */
const CONNECTION_WINDOW_BYTES = 2 ** 31 - 1;

/** One HTTP/2 connection with keep-alive pings, for Node.js, Bun and Deno. */
export function createTransport(options: TransportOptions): ClosableTransport {
  const sessionManager = new WideSessionManager(options.url, options.keepAlive ?? KEEP_ALIVE, {
    settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
  });
  const transport = createConnectTransport({
    baseUrl: options.url,
    httpVersion: "2",
    interceptors: options.interceptors,
    sessionManager,
    // Output and files are mostly local or already compressed: not worth the time.
    acceptCompression: [],
  });
  return { transport, close: () => sessionManager.abort() };
}

/**
 * A stream that goes with its connection may close without an error, and the
 * transport would wait for its answer for ever.
 */
function failWithoutAnswer(stream: ClientHttp2Stream): void {
  let answered = false;
  stream.once("response", () => (answered = true));
  stream.once("close", () => {
    if (answered || stream.rstCode !== constants.NGHTTP2_NO_ERROR) return;
    // The transport listens as soon as it has been given the stream.
    setImmediate(() => {
      const error = new ConnectError("the connection closed before an answer came", Code.Aborted);
      if (stream.listenerCount("error") > 0) stream.emit("error", error);
    });
  });
}

class WideSessionManager extends Http2SessionManager {
  readonly #widened = new WeakSet<object>();

  override async request(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: Parameters<Http2SessionManager["request"]>[3],
  ): Promise<ClientHttp2Stream> {
    const stream = await super.request(method, path, headers, options);
    failWithoutAnswer(stream);
    const { session } = stream;
    if (session !== undefined && !this.#widened.has(session)) {
      this.#widened.add(session);
      session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
      // The manager stops listening when it leaves a connection, and a dying one may still
      // have its error to tell: without a listener that would end the whole program.
      session.on("error", () => undefined);
    }
    return stream;
  }
}
