import { Code, ConnectError } from "@connectrpc/connect";
import {
  type ErrorInfo,
  ErrorInfoSchema,
  ErrorReason as ProtoErrorReason,
  REQUEST_ID_HEADER,
} from "@nullspace/proto";
import { Fault, toConnectError } from "@nullspace/proto/fault";
import {
  AuthError,
  CancelledError,
  type ClientErrorReason,
  ConflictError,
  type ErrorCode,
  type ErrorReason,
  GitError,
  InternalError,
  InvalidArgumentError,
  NotFoundError,
  NullspaceError,
  type NullspaceErrorOptions,
  PermissionError,
  ResourceExhaustedError,
  SnapshotIncompatibleError,
  TimeoutError,
  UnavailableError,
} from "./errors.js";

type ErrorClass = new (message: string, options: NullspaceErrorOptions) => NullspaceError;

/** What a status means here: its name, its class, and the reason where the server gave none. */
interface CodeRule {
  code: ErrorCode;
  class: ErrorClass;
  reason: ErrorReason;
  retryable?: boolean;
  remedy?: string;
}

const CONNECTION_LOST: CodeRule = {
  code: "unavailable",
  class: UnavailableError,
  reason: "CONNECTION_LOST",
  retryable: true,
};

const RULES: Record<Code, CodeRule> = {
  [Code.Canceled]: { code: "canceled", class: CancelledError, reason: "CANCELLED" },
  [Code.Unknown]: { code: "unknown", class: InternalError, reason: "INTERNAL" },
  [Code.InvalidArgument]: {
    code: "invalid_argument",
    class: InvalidArgumentError,
    reason: "INVALID_ARGUMENT",
  },
  [Code.DeadlineExceeded]: {
    code: "deadline_exceeded",
    class: TimeoutError,
    reason: "DEADLINE_EXCEEDED",
    retryable: true,
    remedy: "Allow more time with requestTimeoutMs.",
  },
  [Code.NotFound]: { code: "not_found", class: NotFoundError, reason: "NOT_FOUND" },
  [Code.AlreadyExists]: { code: "already_exists", class: ConflictError, reason: "CONFLICT" },
  [Code.PermissionDenied]: {
    code: "permission_denied",
    class: PermissionError,
    reason: "PERMISSION_DENIED",
  },
  [Code.ResourceExhausted]: {
    code: "resource_exhausted",
    class: ResourceExhaustedError,
    reason: "RESOURCE_EXHAUSTED",
    retryable: true,
  },
  [Code.FailedPrecondition]: {
    code: "failed_precondition",
    class: ConflictError,
    reason: "CONFLICT",
  },
  // Connect reports a stream that broke as aborted; no call of this API answers so.
  [Code.Aborted]: CONNECTION_LOST,
  [Code.OutOfRange]: {
    code: "out_of_range",
    class: InvalidArgumentError,
    reason: "INVALID_ARGUMENT",
  },
  [Code.Unimplemented]: {
    code: "unimplemented",
    class: InternalError,
    reason: "UNIMPLEMENTED",
    remedy: "Is this the URL of a Nullspace server, and is it as new as this SDK?",
  },
  [Code.Internal]: { code: "internal", class: InternalError, reason: "INTERNAL" },
  [Code.Unavailable]: {
    code: "unavailable",
    class: UnavailableError,
    reason: "CONNECTION_FAILED",
    retryable: true,
    remedy: "Is the server running at this URL (NULLSPACE_API_URL)?",
  },
  [Code.DataLoss]: { code: "data_loss", class: InternalError, reason: "INTERNAL" },
  [Code.Unauthenticated]: {
    code: "unauthenticated",
    class: AuthError,
    reason: "INVALID_API_KEY",
    remedy: "Set NULLSPACE_API_KEY, or pass apiKey.",
  },
};

function isServerReason(name: string): name is Exclude<ErrorReason, ClientErrorReason> {
  return name in ProtoErrorReason && name !== "UNSPECIFIED";
}

/** The reason the server gave, or undefined for one that this SDK is too old to know. */
function reasonOf(info: ErrorInfo): ErrorReason | undefined {
  const name: string | undefined = ProtoErrorReason[info.reason];
  return name !== undefined && isServerReason(name) ? name : undefined;
}

/**
 * The one place where failures of the transport become errors of the SDK.
 * `signal` is the caller's own: it tells a call that was cancelled here from a
 * stream that was reset by a dying server, which look the same on the wire.
 */
export function toNullspaceError(error: unknown, signal?: AbortSignal): NullspaceError {
  if (error instanceof NullspaceError) return error;
  const failure = ConnectError.from(error, Code.Internal);
  const [info] = failure.findDetails(ErrorInfoSchema);
  const requestId = failure.metadata.get(REQUEST_ID_HEADER) ?? undefined;

  if (info === undefined) {
    const rule = ruleWithoutInfo(failure, signal);
    return new rule.class(messageOf(failure, rule, signal), {
      code: rule.code,
      reason: rule.reason,
      retryable: rule.retryable ?? false,
      remedy: rule.remedy ?? "",
      requestId,
      cause: rule.code === "canceled" ? signal?.reason : (failure.cause ?? failure),
    });
  }
  const rule = RULES[failure.code];
  const reason = reasonOf(info) ?? rule.reason;
  const ErrorClass = classOf(reason) ?? rule.class;
  return new ErrorClass(failure.rawMessage, {
    code: rule.code,
    reason,
    retryable: info.retryable,
    remedy: info.remedy,
    details: { ...info.details },
    requestId,
    retryAfterMs: info.retryAfterMs || undefined,
    cause: failure,
  });
}

/** Why a fork has no such child. */
export function toForkError(message: string, info: ErrorInfo | undefined): NullspaceError {
  if (info === undefined) return new InternalError(message);
  const { reason, remedy, details, retryAfterMs } = info;
  const fault = new Fault(reason, message, { remedy, details, retryAfterMs });
  return toNullspaceError(toConnectError(fault));
}

/** The class of reasons that have one of their own, whatever their code. */
function classOf(reason: ErrorReason): ErrorClass | undefined {
  if (reason === "SNAPSHOT_INCOMPATIBLE") return SnapshotIncompatibleError;
  return reason.startsWith("GIT_") ? GitError : undefined;
}

function ruleWithoutInfo(failure: ConnectError, signal: AbortSignal | undefined): CodeRule {
  if (failure.code === Code.Canceled && !signal?.aborted) return CONNECTION_LOST;
  if (isOfTransport(failure.cause)) return CONNECTION_LOST;
  // fetch() reports every failure of the network as a TypeError.
  if (failure.cause instanceof TypeError) return RULES[Code.Unavailable];
  return RULES[failure.code];
}

/**
 * Whether the way to the server failed: a stream that a dying connection
 * refused or reset says so in Node's own words, which Connect does not know.
 */
function isOfTransport(cause: unknown): boolean {
  if (!(cause instanceof Error) || !("code" in cause) || typeof cause.code !== "string")
    return false;
  return cause.code.startsWith("ERR_HTTP2_") || BROKEN_CONNECTION.has(cause.code);
}

const BROKEN_CONNECTION = new Set([
  "ECANCELED",
  "ECONNABORTED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
]);

function messageOf(failure: ConnectError, rule: CodeRule, signal?: AbortSignal): string {
  if (rule === CONNECTION_LOST) return `the connection was lost: ${failure.rawMessage}`;
  if (rule.code === "canceled" && signal?.aborted) return "the call was cancelled by its signal";
  return failure.rawMessage;
}
