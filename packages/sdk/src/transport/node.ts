import { type ClientHttp2Stream, constants, type OutgoingHttpHeaders } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { ClosableTransport, TransportOptions } from "./transport.js";

/** A connection that says nothing for so long is asked whether it is alive. */
const PING_INTERVAL_MS = 10_000;
/** A connection that does not answer within this time is dead, and its calls fail. */
const PING_TIMEOUT_MS = 15_000;

/** What a stream may send before it is read: keeps the pipe full without holding much. */
const STREAM_WINDOW_BYTES = 1024 * 1024;
/**
 * The window that all streams share is as large as HTTP/2 allows: each stream
 * has its own bound, and one that nobody reads must not stop the others.
 */
const CONNECTION_WINDOW_BYTES = 2 ** 31 - 1;

/** One HTTP/2 connection with keep-alive pings, for Node.js, Bun and Deno. */
export function createTransport(options: TransportOptions): ClosableTransport {
  const sessionManager = new WideSessionManager(
    options.url,
    { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: PING_TIMEOUT_MS },
    { settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false } },
  );
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
    }
    return stream;
  }
}
