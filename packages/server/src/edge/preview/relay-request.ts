import {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as requestHttp,
} from "node:http";
import { Http2ServerRequest } from "node:http2";
import type { Duplex } from "node:stream";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { beginResponse, type EdgeRequest, type EdgeResponse, isCutOff } from "../exchange.js";
import { previewHeadersForClient } from "./headers.js";
import type { TunnelAgent } from "./tunnel-agent.js";

/** Longest headers of a service's answer, in bytes. */
const MAX_HEADER_BYTES = 64 << 10;

const SAFE_TO_REPEAT = new Set(["GET", "HEAD", "OPTIONS"]);

/** A request as a service gets it. */
export interface GuestRequest {
  readonly agent: TunnelAgent;
  readonly machineId: string;
  readonly port: number;
  readonly method: string;
  readonly target: string;
  readonly headers: OutgoingHttpHeaders;
}

/** Told of bytes that go to the machine and from it. */
export type OnBytes = (bytesIn: number, bytesOut: number) => void;

/** Begins a request to a service in a machine. */
export function requestGuest(guest: GuestRequest): ClientRequest {
  const { agent, machineId, port, method, target, headers } = guest;
  return requestHttp({
    agent,
    host: machineId,
    port,
    method,
    path: target,
    headers,
    setHost: false,
    maxHeaderSize: MAX_HEADER_BYTES,
  });
}

/**
 * Passes a request to a service and its response back, each as fast as the other
 * side takes it, until the response is complete.
 *
 * @param signal Breaks it off.
 * @throws Fault PORT_CLOSED, PORT_CONNECTION_LOST, PREVIEW_BAD_ANSWER, AGENT_UNREACHABLE, or the
 * reason of the signal.
 */
export async function relayRequest(
  guest: GuestRequest,
  request: EdgeRequest,
  response: EdgeResponse,
  onBytes: OnBytes,
  signal: AbortSignal,
): Promise<void> {
  const answer = await ask(guest, request, onBytes, signal, true);
  beginResponse(response, answer.statusCode ?? 502, previewHeadersForClient(answer.rawHeaders));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  answer.on("data", (data: Buffer) => onBytes(0, data.length));
  answer.on("end", () => {
    response.end();
    resolve();
  });
  answer.on("error", (error) => reject(serviceFailure(error)));
  answer.pipe(response, { end: false });
  const stop = () => answer.destroy(signal.reason instanceof Error ? signal.reason : undefined);
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Sends a request; resolves with the answer to it, of which no body has been read. */
async function ask(
  guest: GuestRequest,
  request: EdgeRequest,
  onBytes: OnBytes,
  signal: AbortSignal,
  mayRepeat: boolean,
): Promise<IncomingMessage> {
  signal.throwIfAborted();
  const body = hasBody(request);
  const sent = requestGuest(body ? framed(guest) : guest);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  sent.on("response", resolve);
  sent.on("error", reject);
  sent.on("upgrade", (_answer, tunnel: Duplex) => {
    tunnel.destroy();
    reject(badAnswer());
  });
  const stop = () => sent.destroy();
  signal.addEventListener("abort", stop);
  if (body) sendBody(request, sent, onBytes);
  else sent.end();
  try {
    return await promise;
  } catch (error) {
    signal.throwIfAborted();
    // The service closed a connection that nobody used, just as we used it.
    const isStale = sent.reusedSocket && !body && SAFE_TO_REPEAT.has(guest.method);
    if (isStale && mayRepeat) return await ask(guest, request, onBytes, signal, false);
    throw serviceFailure(error);
  } finally {
    signal.removeEventListener("abort", stop);
    // Told to nobody from here on: what follows is the answer's affair.
    sent.on("error", () => undefined);
    if (signal.aborted) sent.destroy();
  }
}

function sendBody(request: EdgeRequest, sent: ClientRequest, onBytes: OnBytes): void {
  request.on("data", (data: Buffer) => onBytes(data.length, 0));
  // A client that goes away is told by its response.
  request.on("error", () => undefined);
  request.pipe(sent, { end: false });
  request.once("end", () => {
    // The service must not take the beginning of a body for all of it.
    if (isCutOff(request)) sent.destroy();
    else sent.end();
  });
}

/**
 * Says how a body is told from what follows it. Left to itself, Node.js sends a body of a GET or
 * DELETE without any frame, and the service would take it for the next request of somebody else.
 */
function framed(guest: GuestRequest): GuestRequest {
  if (guest.headers["content-length"] !== undefined) return guest;
  return { ...guest, headers: { ...guest.headers, "transfer-encoding": "chunked" } };
}

function hasBody(request: EdgeRequest): boolean {
  if (request instanceof Http2ServerRequest) return !request.stream.endAfterHeaders;
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  return encoding !== undefined || (length !== undefined && length !== "0");
}

/** Why a service gave no answer, or not all of one. */
export function serviceFailure(cause: unknown): Error {
  if (cause instanceof Fault) return cause;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (code.startsWith("HPE_")) return badAnswer(cause);
  return new Fault(ErrorReason.PORT_CONNECTION_LOST, "the service broke the connection off", {
    remedy: "Look at the log of the program that listens there.",
    cause,
  });
}

function badAnswer(cause?: unknown): Fault {
  return new Fault(ErrorReason.PREVIEW_BAD_ANSWER, "the service answers with what is no HTTP", {
    remedy: "Look at what listens on this port.",
    cause,
  });
}
