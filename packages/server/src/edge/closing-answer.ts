import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

/** Answers a request that was to take its connection over, and closes the connection. */
export function answerAndClose(
  socket: Duplex,
  status: number,
  headers: Readonly<Record<string, string>> = {},
  body = "",
): void {
  const all = {
    ...headers,
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
  };
  const lines = Object.entries(all).map((pair) => pair.join(": "));
  const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`, ...lines].join("\r\n");
  socket.end(`${head}\r\n\r\n${body}`);
}
