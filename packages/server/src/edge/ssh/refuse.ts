import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { failureAnswer } from "../transfer/answers.js";

/** Answers a request whose connection was to become a stream, and closes the connection. */
export function refuse(
  socket: Duplex,
  method: string | undefined,
  error: unknown,
  onDefect: (error: unknown) => void,
): void {
  // Whoever is gone is told nothing.
  if (!socket.writable) return;
  const { status, body } = failureAnswer(error, onDefect);
  const isProxy = method === "CONNECT" && status === 401;
  const code = isProxy ? 407 : status;
  const head = [
    `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? ""}`,
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    ...(isProxy ? ['proxy-authenticate: Basic realm="nullspace"'] : []),
    "connection: close",
  ];
  // The tools that open such connections rarely read what is sent with a refusal, but people do.
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
