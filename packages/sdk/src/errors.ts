import type { ErrorReason as ProtoErrorReason } from "@nullspace/proto";
import type { CommandResult } from "./commands/result.js";

/** The Connect (and gRPC) status of a failure. */
export type ErrorCode =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** Reasons that only the SDK itself gives; all others come from the server. */
export type ClientErrorReason =
  | "CONNECTION_FAILED"
  | "CONNECTION_LOST"
  | "COMMAND_FAILED"
  | "BATCH_FAILED"
  | "CONFLICT"
  | "INVALID_UTF8"
  | "NOT_FOUND"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "UNIMPLEMENTED"
  | "UPLOAD_INTERRUPTED";

/** Why a call failed: stable across versions, so programs can branch on it. */
export type ErrorReason = Exclude<keyof typeof ProtoErrorReason, "UNSPECIFIED"> | ClientErrorReason;

/** What a {@link NullspaceError} is made of; code and reason are the class's own when not given. */
export interface NullspaceErrorOptions {
  code?: ErrorCode;
  reason?: ErrorReason;
  /** False when not given. */
  retryable?: boolean;
  remedy?: string;
  details?: Readonly<Record<string, string>>;
  requestId?: string | undefined;
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/**
 * What every failed call of this SDK throws. Each cause has a class of its own
 * below, to be told apart with `instanceof`; `reason` tells more exactly.
 *
 * @example
 * ```ts
 * try {
 *   await Machine.create({ template: "bass" });
 * } catch (error) {
 *   if (error instanceof NotFoundError) console.error(error.message, error.details.nearest);
 *   else throw error;
 * }
 * ```
 */
export class NullspaceError extends Error {
  /** Code and reason of an error that is given none. */
  protected static readonly usual: { code: ErrorCode; reason: ErrorReason } = {
    code: "unknown",
    reason: "INTERNAL",
  };
  // A literal, since bundlers rename classes.
  override readonly name: string = "NullspaceError";
  /** Status of the call, one of Connect's. */
  readonly code: ErrorCode;
  /** Why, as a stable word. */
  readonly reason: ErrorReason;
  /** Whether the same call may succeed if it is made again unchanged. */
  readonly retryable: boolean;
  /** What you can do about it; also at the end of `message`. May be empty. */
  readonly remedy: string;
  /** Facts about this failure, by name. */
  readonly details: Readonly<Record<string, string>>;
  /** The request's id in the server's log, where a server answered. */
  readonly requestId: string | undefined;
  /** When to make the call again, in milliseconds, where the server says: limits and quotas do. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: NullspaceErrorOptions = {}) {
    super(withRemedy(message, options.remedy), { cause: options.cause });
    this.code = options.code ?? new.target.usual.code;
    this.reason = options.reason ?? new.target.usual.reason;
    this.retryable = options.retryable ?? false;
    this.remedy = options.remedy ?? "";
    this.details = options.details ?? {};
    this.requestId = options.requestId;
    this.retryAfterMs = options.retryAfterMs;
  }
}

function usual(code: ErrorCode, reason: ErrorReason) {
  return { code, reason };
}

function withRemedy(message: string, remedy: string | undefined): string {
  if (!remedy) return message;
  return `${/[.!?]$/.test(message) ? message : `${message}.`} ${remedy}`;
}

/** The API key is missing, malformed, unknown or revoked. */
export class AuthError extends NullspaceError {
  protected static override readonly usual = usual("unauthenticated", "INVALID_API_KEY");
  override readonly name: string = "AuthError";
}

/** The key is good, but this is not allowed to it; or the guest's file system refuses. */
export class PermissionError extends NullspaceError {
  protected static override readonly usual = usual("permission_denied", "PERMISSION_DENIED");
  override readonly name: string = "PermissionError";
}

/** What the call names does not exist. */
export class NotFoundError extends NullspaceError {
  protected static override readonly usual = usual("not_found", "NOT_FOUND");
  override readonly name: string = "NotFoundError";
}

/** A value in the call is not allowed, whatever the state of things. */
export class InvalidArgumentError extends NullspaceError {
  protected static override readonly usual = usual("invalid_argument", "INVALID_ARGUMENT");
  override readonly name: string = "InvalidArgumentError";
}

/** The state of things does not allow this: it exists already, or is not running, not empty, ... */
export class ConflictError extends NullspaceError {
  protected static override readonly usual = usual("failed_precondition", "CONFLICT");
  override readonly name: string = "ConflictError";
}

/** The snapshot was made by another QEMU, CPU model, kernel or device list than this host's. */
export class SnapshotIncompatibleError extends ConflictError {
  protected static override readonly usual = usual("failed_precondition", "SNAPSHOT_INCOMPATIBLE");
  override readonly name: string = "SnapshotIncompatibleError";
}

/** The call's deadline passed. */
export class TimeoutError extends NullspaceError {
  protected static override readonly usual = usual("deadline_exceeded", "DEADLINE_EXCEEDED");
  override readonly name: string = "TimeoutError";
}

/** The server or the machine cannot be reached at the moment. */
export class UnavailableError extends NullspaceError {
  protected static override readonly usual = usual("unavailable", "CONNECTION_FAILED");
  override readonly name: string = "UnavailableError";
}

/** Something is full: a disk, the host's capacity, a quota. */
export class ResourceExhaustedError extends NullspaceError {
  protected static override readonly usual = usual("resource_exhausted", "RESOURCE_EXHAUSTED");
  override readonly name: string = "ResourceExhaustedError";
}

/** You cancelled the call with its `signal`; `cause` is the signal's reason. */
export class CancelledError extends NullspaceError {
  protected static override readonly usual = usual("canceled", "CANCELLED");
  override readonly name: string = "CancelledError";
}

/** The server failed by a fault of its own, or its data is damaged. */
export class InternalError extends NullspaceError {
  protected static override readonly usual = usual("internal", "INTERNAL");
  override readonly name: string = "InternalError";
}

/** Git failed in the machine; `reason` tells why, as far as git says it. */
export class GitError extends NullspaceError {
  protected static override readonly usual = usual("failed_precondition", "GIT_FAILED");
  override readonly name: string = "GitError";
  /** As "git push". */
  readonly command: string;
  /** Git's exit code; undefined where git was not run. */
  readonly exitCode: number | undefined;
  /** The end of what git said, without secrets. */
  readonly stderr: string;
  /** Paths that are in conflict, of `GIT_CONFLICT`. */
  readonly conflicts: readonly string[];

  constructor(message: string, options: NullspaceErrorOptions = {}) {
    super(message, options);
    const { command = "git", exit_code: code, stderr = "", conflicts } = this.details;
    this.command = command;
    this.exitCode = code === undefined ? undefined : Number(code);
    this.stderr = stderr;
    this.conflicts = conflicts === undefined ? [] : stringsOf(conflicts);
  }
}

function stringsOf(json: string): string[] {
  const parsed: unknown = JSON.parse(json);
  return Array.isArray(parsed) ? parsed.filter((one) => typeof one === "string") : [];
}

/** A command did not end with exit code 0; thrown by {@link CommandResult.orThrow} only. */
export class CommandError extends NullspaceError {
  override readonly name: string = "CommandError";
  /** How the command ended, with its output. */
  readonly result: CommandResult;

  constructor(message: string, result: CommandResult) {
    super(message, {
      reason: "COMMAND_FAILED",
      details: {
        exit_code: String(result.exitCode),
        signal: result.signal ?? "",
        timed_out: String(result.timedOut),
      },
    });
    this.result = result;
  }
}

/**
 * The way to the machine was lost in the middle of an upload, for longer than
 * the SDK waits. What has arrived is kept for an hour: call
 * {@link Files.uploadFile} again with `uploadId` to send only the rest.
 *
 * @example
 * ```ts
 * try {
 *   await machine.files.uploadFile("./big.iso", "big.iso");
 * } catch (error) {
 *   if (!(error instanceof FileUploadError)) throw error;
 *   await machine.files.uploadFile("./big.iso", "big.iso", { uploadId: error.uploadId });
 * }
 * ```
 */
export class FileUploadError extends NullspaceError {
  protected static override readonly usual = usual("unavailable", "UPLOAD_INTERRUPTED");
  override readonly name: string = "FileUploadError";
  /** The upload to go on with. */
  readonly uploadId: string;

  constructor(message: string, uploadId: string, options: NullspaceErrorOptions = {}) {
    super(message, {
      retryable: true,
      remedy: "Call uploadFile again with this uploadId.",
      details: { upload_id: uploadId },
      ...options,
    });
    this.uploadId = uploadId;
  }
}

/** One file of several that could not be written. */
export interface BatchFailure {
  /** As it was given; for a folder's files, below the folder. */
  path: string;
  /** Why. */
  error: Error;
}

/** Some files of several could not be written; all others were. */
export class BatchWriteError extends NullspaceError {
  protected static override readonly usual = usual("failed_precondition", "BATCH_FAILED");
  override readonly name: string = "BatchWriteError";
  /** Paths of the files that were written, where they were named one by one. */
  readonly successes: readonly string[];
  /** What was not written, and why. */
  readonly failures: readonly BatchFailure[];

  constructor(successes: readonly string[], failures: readonly BatchFailure[], cause?: unknown) {
    const [first] = failures;
    const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : "";
    const named = first === undefined ? "" : `: ${first.path}: ${first.error.message}`;
    super(`${failures.length} files could not be written${named}${more}`, { cause });
    this.successes = successes;
    this.failures = failures;
  }
}
