import { NullspaceError } from "@nullspace/sdk";
import { CommanderError } from "commander";
import { ExitCode } from "./exit-code.js";
import { styled } from "./terminal.js";
import { UsageError } from "./usage-error.js";

/** Exit code by the status of a failed call. */
const BY_CODE: Record<NullspaceError["code"], number> = {
  canceled: ExitCode.Other,
  unknown: ExitCode.Other,
  invalid_argument: ExitCode.Usage,
  out_of_range: ExitCode.Usage,
  not_found: ExitCode.NotFound,
  unauthenticated: ExitCode.Unauthenticated,
  permission_denied: ExitCode.PermissionDenied,
  resource_exhausted: ExitCode.Exhausted,
  already_exists: ExitCode.Conflict,
  failed_precondition: ExitCode.Conflict,
  aborted: ExitCode.Conflict,
  deadline_exceeded: ExitCode.Runtime,
  unavailable: ExitCode.Runtime,
  internal: ExitCode.Runtime,
  data_loss: ExitCode.Runtime,
  unimplemented: ExitCode.Runtime,
};

/** What a failure is in JSON. */
interface FailureJson {
  code: string;
  reason: string;
  message: string;
  remedy: string;
  retryable: boolean;
  details: Readonly<Record<string, string>>;
  requestId: string | undefined;
}

/** Tells a failure to whoever reads: as JSON on stdout, else in words on stderr. Gives the exit code. */
export function reportFailure(error: unknown, json: boolean): number {
  if (json) process.stdout.write(`${JSON.stringify({ error: describe(error) })}\n`);
  else process.stderr.write(`${styled("red", "error:", process.stderr)} ${textOf(error)}\n`);
  return exitCodeOf(error);
}

/** The exit code that a failure ends the program with. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof NullspaceError) return BY_CODE[error.code];
  if (error instanceof UsageError || error instanceof CommanderError) return ExitCode.Usage;
  return ExitCode.Other;
}

function describe(error: unknown): FailureJson {
  if (error instanceof NullspaceError) {
    const { code, reason, message, remedy, retryable, details, requestId } = error;
    return { code, reason, message, remedy, retryable, details, requestId };
  }
  const usage = exitCodeOf(error) === ExitCode.Usage;
  return {
    code: usage ? "invalid_argument" : "unknown",
    reason: usage ? "USAGE" : "INTERNAL",
    message: textOf(error).replace(/^error: /, ""),
    remedy: usage ? "See --help." : "",
    retryable: false,
    details: {},
    requestId: undefined,
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
