import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { captureFailed } from "./faults.js";

/** Characters of a console that a record keeps. */
const TAIL_LENGTH = 4000;

/** What a record says of an error: its message, without what only a defect's stack would tell. */
export function describeError(error: unknown): string {
  if (error instanceof ConnectError) return printable(error.rawMessage);
  return printable(error instanceof Error ? error.message : String(error));
}

/** Whether a failed call to the host may still have its effect: nothing is known until the host is asked. */
export function isInconclusive(error: unknown): boolean {
  if (!(error instanceof ConnectError)) return false;
  if (error.code === Code.Canceled || error.code === Code.DeadlineExceeded) return true;
  // Of a host that gives its reason the answer has arrived.
  return error.code === Code.Unavailable && error.findDetails(ErrorInfoSchema).length === 0;
}

/** The reason that a host gave for a failure; `undefined` for a defect. */
export function reasonOf(error: unknown): ErrorReason | undefined {
  if (error instanceof Fault) return error.reason;
  if (!(error instanceof ConnectError)) return undefined;
  const [info] = error.findDetails(ErrorInfoSchema);
  return info?.reason === ErrorReason.INTERNAL ? undefined : info?.reason;
}

/** Whether something failed because there is no space left. */
export function isDiskFull(error: unknown): boolean {
  return reasonOf(error) === ErrorReason.DISK_FULL;
}

/** What the caller of a failed capture is told: what is known of it, else that the machine goes on. */
export function captureFailure(machineId: string, error: unknown): unknown {
  if (isInconclusive(error) || reasonOf(error) !== undefined) return error;
  return captureFailed(machineId, describeError(error), error);
}

/** What a record says of a machine that ended by itself. */
export function describeDeath(consoleTail: string): string {
  const tail = printable(consoleTail).trim().slice(-TAIL_LENGTH);
  const fact = "the machine's process ended by itself";
  return tail === "" ? fact : `${fact}; end of its console:\n${tail}`;
}

/** Guests write what they like to their console: no control characters in records, logs and terminals. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- Control characters are what is looked for.
  return text.replaceAll(/\u001b\[[0-9;?]*[ -/]*[@-~]|[\u0000-\u0008\u000b-\u001f\u007f]/g, "");
}
