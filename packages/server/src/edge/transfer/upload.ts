import { createHash } from "node:crypto";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { beginResponse, type EdgeRequest, type EdgeResponse } from "../exchange.js";
import type { AgentFiles } from "./agent-files.js";
import { answerJson } from "./answers.js";
import { fileInForm } from "./form.js";
import { type ContentRange, parseContentRange } from "./ranges.js";
import { receive } from "./receive.js";
import type { StallTimer } from "./stall-timer.js";

/** How long the agent may take to put a complete file in its place. */
const COMMIT_TIMEOUT_MS = 300_000;

/** Where an upload goes, and what it is known by. */
export interface Destination {
  path: string;
  user: string;
  /** The same for every request of one URL; it says nothing about the URL. */
  key: string;
}

/** A request with a file and its answer. */
export interface Upload {
  request: EdgeRequest;
  response: EdgeResponse;
  /** Aborted when the server stops, not when the caller goes. */
  signal: AbortSignal;
  stall: StallTimer;
}

/** Answers PUT and POST. */
export async function upload(
  files: AgentFiles,
  destination: Destination,
  { request, response, signal, stall }: Upload,
): Promise<void> {
  const header = request.headers["content-range"];
  const content = request.method === "POST" ? fileInForm(request) : request;
  const body = stall.watch(content);
  if (request.method === "POST" || header === undefined) {
    return uploadWhole(files, destination, { body, request, response, signal });
  }
  const range = parseContentRange(String(header));
  if (range === undefined) {
    throw new Fault(ErrorReason.INVALID_ARGUMENT, "the header Content-Range makes no sense", {
      remedy: 'Send "bytes FIRST-LAST/TOTAL", or "bytes */TOTAL" to ask how far the upload is.',
      details: { field: "content-range" },
    });
  }
  return uploadPiece(files, destination, range, { body, request, response, signal });
}

interface Exchange {
  body: AsyncIterable<Uint8Array>;
  request: EdgeRequest;
  response: EdgeResponse;
  signal: AbortSignal;
}

/** A file in one request: it appears complete, or not at all. */
async function uploadWhole(
  files: AgentFiles,
  { path, user }: Destination,
  { body, request, response, signal }: Exchange,
): Promise<void> {
  const sha256 = digestOf(request);
  const begin = { path, user, checksum: sha256 !== undefined };
  const { uploadId } = await files.beginUpload(begin, { signal });
  try {
    const target = { uploadId, offset: 0, most: Number.MAX_SAFE_INTEGER };
    const size = await receive(files, target, body, signal);
    mustBeWhole(request, size);
    await commit(files, uploadId, size, { request, response, signal });
  } catch (error) {
    await files.abortUpload({ uploadId }, { timeoutMs: 5000 }).catch(() => undefined);
    throw error;
  }
}

/** A part of a file, or the question which parts have arrived. The last missing part completes the file. */
async function uploadPiece(
  files: AgentFiles,
  { path, user, key }: Destination,
  { span, total }: ContentRange,
  exchange: Exchange,
): Promise<void> {
  const { request, response, signal, body } = exchange;
  if (span !== undefined) mustHaveLength(request, span.end - span.start);
  const sha256 = digestOf(request);
  const idempotencyKey = createHash("sha256").update(`${key} ${total}`).digest("hex");
  const begin = { path, user, idempotencyKey, checksum: sha256 !== undefined };
  const { uploadId } = await files.beginUpload(begin, { signal });
  if (span !== undefined) {
    const length = span.end - span.start;
    const target = { uploadId, offset: span.start, most: length };
    const received = await receive(files, target, body, signal);
    if (received !== length) throw wrongLength(length, received);
  }
  const { received } = await files.getUpload({ uploadId }, { signal });
  const [first] = received;
  const contiguous = first?.start === 0n ? Number(first.end) : 0;
  if (contiguous === total) return commit(files, uploadId, total, exchange);
  // As the answer to a request for a part would say it; nothing yet is no range at all.
  beginResponse(response, 202, {
    "content-length": 0,
    ...(contiguous > 0 && { range: `bytes=0-${contiguous - 1}` }),
  });
  response.end();
}

async function commit(
  files: AgentFiles,
  uploadId: string,
  size: number,
  { request, response, signal }: Omit<Exchange, "body">,
): Promise<void> {
  const sha256 = digestOf(request) ?? new Uint8Array();
  const done = { uploadId, size: BigInt(size), sha256 };
  const { info } = await files.commitUpload(done, { signal, timeoutMs: COMMIT_TIMEOUT_MS });
  answerJson(response, 200, { path: info?.path ?? "", size: Number(info?.size ?? size) });
}

/**
 * SHA-256 of the whole file where the client tells it, as RFC 9530 says:
 * `Repr-Digest: sha-256=:base64:`.
 */
function digestOf({ headers }: EdgeRequest): Uint8Array | undefined {
  const header = headers["repr-digest"];
  const digest = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):/.exec(String(header ?? ""))?.[1];
  return digest === undefined ? undefined : Buffer.from(digest, "base64");
}

/** Refuses a file of another length than was announced. */
function mustBeWhole(request: EdgeRequest, received: number): void {
  const announced = request.headers["content-length"];
  if (request.method === "POST" || announced === undefined) return;
  if (Number(announced) !== received) throw wrongLength(Number(announced), received);
}

function mustHaveLength(request: EdgeRequest, length: number): void {
  const announced = request.headers["content-length"];
  if (announced !== undefined && Number(announced) !== length) {
    throw wrongLength(length, Number(announced));
  }
}

function wrongLength(wanted: number, given: number): Fault {
  return new Fault(
    ErrorReason.INVALID_ARGUMENT,
    `the body has ${given} bytes where its headers say ${wanted}`,
    { remedy: "Send exactly the bytes that Content-Range and Content-Length name." },
  );
}

/** Whether an error is a client's that went away in the middle of its body. */
export function isBrokenOff(error: unknown): boolean {
  if (error instanceof Fault || error instanceof ConnectError) {
    return error instanceof ConnectError && error.code === Code.Canceled;
  }
  return (
    error instanceof Error && "code" in error && /ABORT|RESET|PREMATURE/.test(String(error.code))
  );
}
