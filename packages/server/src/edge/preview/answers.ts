import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { Code, type ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, ErrorReason } from "@nullspace/proto";
import { mapError } from "@nullspace/proto/fault";
import { answerAndClose } from "../closing-answer.js";
import { type EdgeRequest, type EdgeResponse, leaveBody, resetResponse } from "../exchange.js";

const RETRY_AFTER_SECONDS = "5";

/** Status of HTTP by reason, where the code of the reason is not enough. */
const STATUS_BY_REASON: Partial<Record<ErrorReason, number>> = {
  [ErrorReason.PORT_CLOSED]: 502,
  [ErrorReason.PORT_CONNECTION_LOST]: 502,
  [ErrorReason.PREVIEW_BAD_ANSWER]: 502,
  [ErrorReason.SNAPSHOT_CONSUMED]: 410,
  [ErrorReason.MACHINE_DIED]: 410,
};

const STATUS_BY_CODE: Partial<Record<Code, number>> = {
  [Code.InvalidArgument]: 400,
  [Code.Unauthenticated]: 401,
  [Code.PermissionDenied]: 403,
  [Code.NotFound]: 404,
  // A machine that is not in the state for it may be so in a moment.
  [Code.FailedPrecondition]: 503,
  [Code.Unavailable]: 503,
  [Code.ResourceExhausted]: 503,
  [Code.DeadlineExceeded]: 504,
};

/** A failure as visitors are told of it. */
interface Refusal {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Tells a visitor of a failure, as a page to a browser and as JSON to a program. */
export function answerFailure(
  request: EdgeRequest,
  response: EdgeResponse,
  failure: unknown,
  onDefect: (error: unknown) => void,
): void {
  if (response.headersSent) return resetResponse(response);
  const { status, headers, body } = refusal(request, mapError(failure, onDefect));
  leaveBody(request, response);
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.end(request.method === "HEAD" ? "" : body);
}

/** The same for a request to upgrade, whose connection ends with it. */
export function refuseUpgrade(
  request: EdgeRequest,
  socket: Duplex,
  failure: unknown,
  onDefect: (error: unknown) => void,
): void {
  const { status, headers, body } = refusal(request, mapError(failure, onDefect));
  answerAndClose(socket, status, headers, body);
}

/** The name of the reason that grants remember. */
export function reasonName(failure: unknown): string {
  const error = mapError(failure, () => undefined);
  const [info] = error.findDetails(ErrorInfoSchema);
  return ErrorReason[info?.reason ?? ErrorReason.INTERNAL];
}

function refusal(request: EdgeRequest, error: ConnectError): Refusal {
  const [info] = error.findDetails(ErrorInfoSchema);
  const reason = info?.reason ?? ErrorReason.INTERNAL;
  const status = STATUS_BY_REASON[reason] ?? STATUS_BY_CODE[error.code] ?? 500;
  const isPage = request.headers.accept?.includes("text/html") === true;
  const told = {
    reason: ErrorReason[reason],
    message: error.rawMessage,
    remedy: info?.remedy ?? "",
    retryable: info?.retryable ?? false,
    details: info?.details ?? {},
  };
  const body = isPage ? page(status, told) : `${JSON.stringify({ error: told })}\n`;
  return {
    status,
    headers: {
      "content-type": `${isPage ? "text/html" : "application/json"}; charset=utf-8`,
      "content-length": String(Buffer.byteLength(body)),
      "cache-control": "no-store",
      ...(isPage && { "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'" }),
      ...(status === 503 && { "retry-after": RETRY_AFTER_SECONDS }),
    },
    body,
  };
}

function page(
  status: number,
  { reason, message, remedy }: { reason: string; message: string; remedy: string },
): string {
  const style =
    "body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34rem;padding:0 1rem;color-scheme:light dark}";
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(STATUS_CODES[status] ?? "Preview")}</title>
<style>${style}</style>
<h1>${escapeHtml(sentence(message))}</h1>
<p>${escapeHtml(remedy)}</p>
<p><code>${reason}</code></p>
</html>
`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
