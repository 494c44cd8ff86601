import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** What a request may ask for, as `machine.proto` and `key.proto` say. */
export const LIMITS = {
  vcpus: { min: 1, max: 32 },
  memoryMb: { min: 128, max: 65_536 },
  maxDiskMb: 131_072,
  maxTimeoutSeconds: 2_592_000,
  maxDeletePausedSeconds: 31_536_000,
  maxSnapshotNameLength: 128,
  maxForks: 100,
  defaultTimeoutSeconds: 300,
  maxLabels: 64,
  maxLabelBytes: 1024,
  maxEnvs: 512,
  /** Of all names and values together: they are part of one message to the guest. */
  maxEnvsBytes: 262_144,
  maxPathBytes: 4096,
  maxIdempotencyKeyLength: 255,
  maxKeyNameLength: 100,
  maxTemplateLength: 255,
  defaultPageSize: 50,
  maxPageSize: 100,
} as const;

/** A field of a request that has a value which is not allowed. */
export function invalid(field: string, problem: string, remedy: string): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, `${field} ${problem}`, {
    remedy,
    details: { field },
  });
}

/**
 * The page size that a request means: 0 is the default.
 *
 * @throws Fault INVALID_ARGUMENT above 100.
 */
export function pageSize(limit: number): number {
  if (limit === 0) return LIMITS.defaultPageSize;
  if (limit <= LIMITS.maxPageSize) return limit;
  throw invalid(
    "limit",
    `is ${limit}`,
    `Ask for 1 to ${LIMITS.maxPageSize} at a time, and go on with next_cursor.`,
  );
}
