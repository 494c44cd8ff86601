import type { Duplex } from "node:stream";
import { answerAndClose } from "../closing-answer.js";
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
  const { status, body, retryAfter } = failureAnswer(error, onDefect);
  const isProxy = method === "CONNECT" && status === 401;
  const headers = {
    "content-type": "application/json; charset=utf-8",
    ...(retryAfter !== undefined && { "retry-after": retryAfter }),
    ...(isProxy && { "proxy-authenticate": 'Basic realm="nullspace"' }),
  };
  // The tools that open such connections rarely read what is sent with a refusal, but people do.
  answerAndClose(socket, isProxy ? 407 : status, headers, body);
}
