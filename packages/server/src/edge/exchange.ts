import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { constants, Http2ServerRequest, Http2ServerResponse } from "node:http2";

/** A request, from HTTP/1.1 or HTTP/2. */
export type EdgeRequest = IncomingMessage | Http2ServerRequest;
/** The response to it. */
export type EdgeResponse = ServerResponse | Http2ServerResponse;

/** How the other end of an exchange went away before the response was complete. */
export type Departure =
  /** It ended this exchange and nothing else. */
  | "cancelled"
  /** Its whole connection broke, so it may not even know. */
  | "connection lost";

/**
 * Calls back when a client goes away before its response is complete.
 *
 * A client of HTTP/1.1 can cancel only by closing its connection, so there a
 * closed connection counts as a cancellation.
 */
export function onDeparture(
  response: EdgeResponse,
  callback: (departure: Departure) => void,
): void {
  // A stream that is closed no longer knows its session.
  const session = response instanceof Http2ServerResponse ? response.stream.session : undefined;
  response.once("close", () => {
    if (response.writableEnded) return;
    callback(session?.destroyed === true ? "connection lost" : "cancelled");
  });
}

/**
 * Whether the body of a request is only its beginning, asked when it ends. Over
 * HTTP/2 a stream that is reset tells "end" like one that is complete; a complete
 * one stays open for the response.
 */
export function isCutOff(request: EdgeRequest): boolean {
  return request instanceof Http2ServerRequest ? request.stream.closed : !request.complete;
}

/** Has a response end its connection, where what is left of the request's body is not worth receiving. */
export function leaveBody(request: EdgeRequest, response: EdgeResponse): void {
  if (!request.complete && request.httpVersionMajor === 1) {
    response.setHeader("connection", "close");
  }
}

/** Sends status and headers. */
export function beginResponse(
  response: EdgeResponse,
  status: number,
  headers: OutgoingHttpHeaders,
): void {
  if (response instanceof Http2ServerResponse) {
    response.writeHead(status, headers);
    return;
  }
  response.writeHead(status, headers);
  // HTTP/1.1 keeps headers back for the first bytes of the body; of a stream those may come much later.
  if (headers["content-length"] === undefined) response.flushHeaders();
}

/** Ends an exchange whose response can no longer be completed, so that the client notices. */
export function resetResponse(response: EdgeResponse): void {
  if (response instanceof Http2ServerResponse) {
    response.stream?.close(constants.NGHTTP2_INTERNAL_ERROR);
  } else response.destroy();
}
