import { ConnectError } from "@connectrpc/connect";
import type { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { storageFault } from "../storage-fault.js";

/** What is known when a guest did not get ready. */
export interface StartFailure {
  /** INTERNAL-like reason for whatever has none of its own. */
  reason: ErrorReason;
  /** As in "machine 7 did not start". */
  what: string;
  home: string;
  /** Why QEMU ended, if it did: that is behind whatever was seen first. */
  ended: AbortSignal | undefined;
  consoleTail: string;
}

/** The fault to tell, from the error that was met. */
export function startFault(error: unknown, failure: StartFailure): unknown {
  const { reason, what, home, ended, consoleTail } = failure;
  const full = storageFault(error, home);
  if (full !== error) return full;
  const cause: unknown = ended?.aborted === true ? ended.reason : error;
  if (cause instanceof Fault || cause instanceof ConnectError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Fault(reason, `${what}: ${why}`, {
    remedy: "Try again; the end of the console, in the details, may tell more.",
    details: consoleTail === "" ? {} : { console_tail: consoleTail },
    cause,
  });
}
