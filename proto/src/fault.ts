import { create, getOption } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import {
  ErrorInfoSchema,
  ErrorReason,
  ErrorReasonSchema,
  type ErrorRule,
  rule,
} from "./gen/nullspace/v1/error_pb.js";
import { RETRY_AFTER_HEADER } from "./headers.js";
import { redactSecrets } from "./redaction.js";

/** What a {@link Fault} tells besides its reason and message. */
export interface FaultOptions {
  /** What the caller can do about it, in one sentence. */
  remedy?: string;
  /** Facts about this failure, by name. */
  details?: Record<string, string>;
  /** When to make the call again, in milliseconds from now. */
  retryAfterMs?: number;
  cause?: unknown;
}

/**
 * A failure whose cause is known, thrown where it is known. It becomes a
 * Connect error with an `ErrorInfo` detail once, at the boundary, by
 * {@link faultInterceptor}; code and retryability follow from the reason, as
 * `error.proto` says.
 */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly reason: ErrorReason;
  readonly remedy: string;
  readonly details: Record<string, string>;
  /** 0 where nothing is known. */
  readonly retryAfterMs: number;

  constructor(reason: ErrorReason, message: string, options: FaultOptions = {}) {
    super(message, { cause: options.cause });
    this.reason = reason;
    this.remedy = options.remedy ?? "";
    this.details = options.details ?? {};
    this.retryAfterMs = Math.ceil(options.retryAfterMs ?? 0);
  }
}

/** Code and retryability of a reason, as `error.proto` says. */
export function errorRule(reason: ErrorReason): ErrorRule {
  const value = ErrorReasonSchema.value[reason] ?? ErrorReasonSchema.value[ErrorReason.INTERNAL];
  if (value === undefined) throw new Error("error.proto has no reason INTERNAL");
  return getOption(value, rule);
}

/** The Connect error that carries a fault to clients of every protocol. */
export function toConnectError(fault: Fault): ConnectError {
  const { code, retryable } = errorRule(fault.reason);
  const { retryAfterMs } = fault;
  // Callers name things by what they like, also by a credential that they took for another thing.
  const details: Record<string, string> = {};
  for (const [name, text] of Object.entries(fault.details)) details[name] = redactSecrets(text);
  const info = create(ErrorInfoSchema, {
    reason: fault.reason,
    retryable,
    remedy: fault.remedy,
    details,
    retryAfterMs,
  });
  const detail = { desc: ErrorInfoSchema, value: info };
  // error.proto numbers its codes as Connect does; a test holds them to it.
  const status: number = code;
  // oxlint-disable-next-line typescript/no-unsafe-enum-assignment
  return new ConnectError(
    redactSecrets(fault.message),
    status,
    headersOf(fault),
    [detail],
    fault.cause,
  );
}

function headersOf({ retryAfterMs }: Fault): Record<string, string> | undefined {
  return retryAfterMs === 0
    ? undefined
    : { [RETRY_AFTER_HEADER]: String(Math.ceil(retryAfterMs / 1000)) };
}

/**
 * Puts what a failure says of when to call again into the headers of its response: a stream tells
 * its failure behind its headers, where HTTP does not look for it.
 */
export function hoistRetryAfter({ metadata }: ConnectError, header: Headers): void {
  const retryAfter = metadata.get(RETRY_AFTER_HEADER);
  if (retryAfter === null) return;
  header.set(RETRY_AFTER_HEADER, retryAfter);
  metadata.delete(RETRY_AFTER_HEADER);
}

const REASON_BY_CODE: Partial<Record<Code, ErrorReason>> = {
  [Code.Canceled]: ErrorReason.CANCELLED,
  [Code.DeadlineExceeded]: ErrorReason.DEADLINE_EXCEEDED,
  [Code.InvalidArgument]: ErrorReason.INVALID_ARGUMENT,
};

/**
 * Maps everything that a handler throws to a Connect error with an `ErrorInfo`.
 * What is neither a fault nor a Connect error is a defect: it is handed to
 * `onDefect`, and the client learns only that there was one.
 */
export function mapError(error: unknown, onDefect: (error: unknown) => void): ConnectError {
  if (error instanceof Fault) return toConnectError(error);
  if (error instanceof ConnectError && error.code !== Code.Unknown) {
    if (error.findDetails(ErrorInfoSchema).length > 0) return error;
    const reason = REASON_BY_CODE[error.code];
    if (reason === undefined) return error;
    return toConnectError(new Fault(reason, error.rawMessage, { cause: error }));
  }
  onDefect(error);
  return toConnectError(
    new Fault(ErrorReason.INTERNAL, "internal error", {
      remedy: "Look for this request's id in the server's log.",
      cause: error,
    }),
  );
}

/** Applies {@link mapError} to every handler of a router, streams included. */
export function faultInterceptor(onDefect: (error: unknown) => void): Interceptor {
  return (next) => async (request) => {
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: mapStream(response.message, onDefect) };
    } catch (error) {
      throw mapError(error, onDefect);
    }
  };
}

/** Applies {@link mapError} to what a stream throws of its own. */
export async function* mapStream<T>(
  messages: AsyncIterable<T>,
  onDefect: (error: unknown) => void,
): AsyncGenerator<T, void> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      let next: IteratorResult<T, unknown>;
      try {
        next = await iterator.next();
      } catch (error) {
        throw mapError(error, onDefect);
      }
      if (next.done === true) return;
      // What is thrown in here is the transport's: its client has gone. That is no defect of the handler's.
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}
