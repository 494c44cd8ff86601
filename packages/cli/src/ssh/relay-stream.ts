import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { UnavailableError } from "@nullspace/sdk";
import { createWebSocketStream, WebSocket } from "ws";
import type { Relay } from "./access-folder.js";

/** How long the server may take to answer: it may have to wake the machine's sshd. */
const TIMEOUT_MS = 90_000;

/** Opens the connection through the server's relay to a machine's sshd. */
export async function openRelay({ url, token }: Pick<Relay, "url" | "token">): Promise<Duplex> {
  const webSocket = new WebSocket(url, {
    headers: { authorization: `Bearer ${token}` },
    handshakeTimeout: TIMEOUT_MS,
    perMessageDeflate: false,
  });
  const stream = createWebSocketStream(webSocket);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  webSocket.once("open", resolve);
  webSocket.once("unexpected-response", (_request, response) => {
    void refusal(response).then(reject, reject);
  });
  stream.on("error", (error) => reject(unreachable(url, error)));
  await promise;
  return stream;
}

async function refusal(response: IncomingMessage): Promise<Error> {
  const body = await text(response);
  const { statusCode } = response;
  return new Error(messageIn(body) ?? `the server answered with status ${statusCode}`);
}

/** What the server says about a refusal; undefined when it is not our server that answers. */
function messageIn(body: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  const error: unknown = read(value, "error");
  const [message, remedy] = [read(error, "message"), read(error, "remedy")];
  if (typeof message !== "string") return undefined;
  return typeof remedy === "string" && remedy !== "" ? `${message}. ${remedy}` : message;
}

function read(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

function unreachable(url: string, cause: Error): UnavailableError {
  return new UnavailableError(`cannot reach ${new URL(url).origin}: ${cause.message}`, {
    reason: "CONNECTION_FAILED",
    retryable: true,
    cause,
  });
}
