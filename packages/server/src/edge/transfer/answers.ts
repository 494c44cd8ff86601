import { type ConnectError, Code } from "@connectrpc/connect";
import { ErrorInfoSchema, ErrorReason, RETRY_AFTER_HEADER } from "@nullspace/proto";
import { mapError } from "@nullspace/proto/fault";
import { type EdgeRequest, type EdgeResponse, leaveBody, resetResponse } from "../exchange.js";

/** Status of HTTP by the code of a failure, for programs that know nothing else. */
const STATUS: Partial<Record<Code, number>> = {
  [Code.InvalidArgument]: 400,
  [Code.OutOfRange]: 400,
  [Code.Unauthenticated]: 401,
  [Code.PermissionDenied]: 403,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.FailedPrecondition]: 409,
  [Code.Aborted]: 409,
  [Code.ResourceExhausted]: 507,
  [Code.Unavailable]: 503,
  [Code.DeadlineExceeded]: 504,
};
/** Where there is too little of something now, and there may be more soon. */
const TOO_MANY = 429;

/** What a failure is answered with by programs that know HTTP and nothing else. */
export interface FailureAnswer {
  readonly status: number;
  readonly body: string;
  /** In seconds, where it is known. */
  readonly retryAfter: string | undefined;
}

/** Sends a JSON object. */
export function answerJson(response: EdgeResponse, status: number, value: unknown): void {
  answer(response, status, textOf(value));
}

function textOf(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

function answer(response: EdgeResponse, status: number, body: string): void {
  response.statusCode = status;
  response.setHeader("content-type", "application/json; charset=utf-8");
  response.setHeader("content-length", Buffer.byteLength(body));
  response.end(body);
}

/** The answer that tells of a failure. */
export function failureAnswer(failure: unknown, onDefect: (error: unknown) => void): FailureAnswer {
  const error = mapError(failure, onDefect);
  const retryAfter = error.metadata.get(RETRY_AFTER_HEADER) ?? undefined;
  const isQuota = error.code === Code.ResourceExhausted && retryAfter !== undefined;
  const status = isQuota ? TOO_MANY : (STATUS[error.code] ?? 500);
  return { status, body: textOf({ error: describe(error) }), retryAfter };
}

/** Tells a failure: as JSON while nothing has been sent, else by breaking the answer off. */
export function answerFailure(
  request: EdgeRequest,
  response: EdgeResponse,
  failure: unknown,
  onDefect: (error: unknown) => void,
): void {
  if (response.headersSent) return resetResponse(response);
  const { status, body } = failureAnswer(failure, onDefect);
  leaveBody(request, response);
  if (status === STATUS[Code.Unavailable]) response.setHeader("retry-after", "5");
  answer(response, status, body);
}

function describe(error: ConnectError) {
  const [info] = error.findDetails(ErrorInfoSchema);
  const { rawMessage: message } = error;
  if (info === undefined) return { code: Code[error.code], message };
  const { remedy, retryable, details } = info;
  return { reason: ErrorReason[info.reason], message, remedy, retryable, details };
}
