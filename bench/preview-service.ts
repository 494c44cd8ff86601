/**
 * The service in the guest that previews are measured with, as a program for the Node.js that
 * is in every machine: a short answer to each request, and WebSockets that stay open.
 */
export const PREVIEW_SERVICE = `
import { createHash } from "node:crypto";
import { createServer } from "node:http";
const server = createServer((request, response) => response.end("hello"));
server.keepAliveTimeout = 60_000;
server.on("upgrade", (request, socket) => {
  const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = createHash("sha1").update(key).digest("base64");
  socket.on("error", () => {});
  socket.write("HTTP/1.1 101 Switching Protocols\\r\\nupgrade: websocket\\r\\nconnection: Upgrade\\r\\nsec-websocket-accept: " + accept + "\\r\\n\\r\\n");
});
server.listen(3000, "127.0.0.1");
`;

/** Where it listens. */
export const PREVIEW_SERVICE_PORT = 3000;

/** How to run it. */
export const PREVIEW_SERVICE_COMMAND = {
  program: "/opt/nullspace/bin/node",
  args: ["--input-type=module", "--eval", PREVIEW_SERVICE],
};
