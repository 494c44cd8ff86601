import type { IncomingMessage } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { previewHeadersForClient } from "./headers.js";
import { type GuestRequest, type OnBytes, requestGuest, serviceFailure } from "./relay-request.js";

/**
 * Passes a request to upgrade to a service, and then bytes both ways. Resolves when the
 * connection is established or refused by the service, which has then been told.
 *
 * @param socket The client's connection. It is closed when the service's is, and the other way round.
 * @param onClose Called once, when both are closed.
 * @throws as `relayRequest`; nothing has been sent to the client then.
 */
export async function relayWebsocket(
  guest: GuestRequest,
  socket: Duplex,
  head: Buffer,
  onBytes: OnBytes,
  onClose: () => void,
): Promise<void> {
  const answer = await upgrade(guest, socket);
  if ("refusal" in answer) return await refuse(answer.refusal, socket, onClose);
  const { response, tunnel, first } = answer;
  socket.write(headOf(response, { connection: "Upgrade", upgrade: "websocket" }));
  if (first.length > 0) socket.write(first);
  if (head.length > 0) tunnel.write(head);
  onBytes(head.length, first.length);
  join(socket, tunnel, onBytes, onClose);
}

interface Upgraded {
  readonly response: IncomingMessage;
  readonly tunnel: Duplex;
  /** What of the new protocol came with the response. */
  readonly first: Buffer;
}

async function upgrade(
  guest: GuestRequest,
  socket: Duplex,
): Promise<Upgraded | { readonly refusal: IncomingMessage }> {
  const { promise, resolve, reject } = Promise.withResolvers<
    Upgraded | { readonly refusal: IncomingMessage }
  >();
  const sent = requestGuest(guest);
  const stop = () => sent.destroy();
  socket.once("close", stop);
  sent.once("upgrade", (response, tunnel, first) => resolve({ response, tunnel, first }));
  sent.once("response", (refusal) => resolve({ refusal }));
  sent.on("error", (error) => reject(serviceFailure(error)));
  sent.end();
  try {
    return await promise;
  } finally {
    socket.off("close", stop);
  }
}

/** Two connections that live and die together. */
function join(socket: Duplex, tunnel: Duplex, onBytes: OnBytes, onClose: () => void): void {
  let open = 2;
  const closed = (other: Duplex) => {
    other.destroy();
    if (--open === 0) onClose();
  };
  socket.on("data", (data: Buffer) => onBytes(data.length, 0));
  tunnel.on("data", (data: Buffer) => onBytes(0, data.length));
  socket.on("error", () => undefined);
  tunnel.on("error", () => undefined);
  socket.once("close", () => closed(tunnel));
  tunnel.once("close", () => closed(socket));
  socket.pipe(tunnel);
  tunnel.pipe(socket);
  // Closed while the other was being opened.
  if (socket.destroyed) tunnel.destroy();
}

/** Passes on the answer of a service that does not upgrade, and ends the connection with it. */
async function refuse(
  refusal: IncomingMessage,
  socket: Duplex,
  onClose: () => void,
): Promise<void> {
  socket.once("close", () => {
    refusal.destroy();
    onClose();
  });
  refusal.on("error", () => socket.destroy());
  socket.on("error", () => undefined);
  socket.write(headOf(refusal, { connection: "close" }));
  refusal.pipe(socket);
}

function headOf(response: IncomingMessage, own: Record<string, string>): string {
  const status = response.statusCode ?? 502;
  const lines = Object.entries({ ...previewHeadersForClient(response.rawHeaders), ...own }).flatMap(
    ([name, value]) => [value].flat().map((one) => `${name}: ${String(one)}`),
  );
  return `${[`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`, ...lines].join("\r\n")}\r\n\r\n`;
}
