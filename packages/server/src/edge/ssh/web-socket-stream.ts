import type { Duplex } from "node:stream";
import { createWebSocketStream, type WebSocket, type WebSocketServer } from "ws";
import type { Handover } from "./relay.js";

/** How often a client is asked whether it is there: well within the patience of proxies in between. */
const PING_MS = 25_000;

/** Answers the request for a WebSocket and gives its binary messages as a stream. */
export async function webSocketStream(
  server: WebSocketServer,
  { request, socket, head }: Handover,
): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  // A request that is none for a WebSocket is answered and closed by the server itself.
  socket.once("close", () => reject(new Error("the client has gone")));
  server.handleUpgrade(request, socket, head, resolve);
  const webSocket = await promise;
  keepAlive(webSocket);
  return createWebSocketStream(webSocket);
}

/** Ends a connection whose client answers no more. */
function keepAlive(webSocket: WebSocket): void {
  let isThere = true;
  const timer = setInterval(() => {
    if (!isThere) return webSocket.terminate();
    isThere = false;
    webSocket.ping();
  }, PING_MS);
  webSocket.on("pong", () => (isThere = true));
  webSocket.once("close", () => clearInterval(timer));
}
