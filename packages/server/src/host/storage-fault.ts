import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { hasCode } from "./durable-files.js";

/** The fault for a full disk, when that is what is behind `error`; otherwise `error` itself. */
export function storageFault(error: unknown, home: string): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (!hasCode(cause, "ENOSPC", "EDQUOT")) continue;
    return new Fault(ErrorReason.DISK_FULL, `the disk under ${home} is full`, {
      remedy: "Free space there, or kill machines that are not needed, and try again.",
      cause: error,
    });
  }
  return error;
}
