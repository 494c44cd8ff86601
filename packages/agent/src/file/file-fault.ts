import { getSystemErrorMap } from "node:util";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

interface Rule {
  reason: ErrorReason;
  remedy: string;
}

const missing: Rule = {
  reason: ErrorReason.FILE_NOT_FOUND,
  remedy: "List the folder to see what is there.",
};
const exists: Rule = {
  reason: ErrorReason.FILE_EXISTS,
  remedy: "Remove what is there first, or choose another path.",
};
const isDirectory: Rule = {
  reason: ErrorReason.IS_DIRECTORY,
  remedy: "Name a file, or list the folder.",
};
const notDirectory: Rule = {
  reason: ErrorReason.NOT_DIRECTORY,
  remedy: "A part of the path that should be a folder is a file.",
};
const notEmpty: Rule = {
  reason: ErrorReason.DIRECTORY_NOT_EMPTY,
  remedy: "Empty the folder first, or remove it recursively.",
};
const denied: Rule = {
  reason: ErrorReason.FILE_PERMISSION_DENIED,
  remedy: "The guest's file system refuses: look at its mounts and at what uses the path.",
};
const full: Rule = {
  reason: ErrorReason.GUEST_DISK_FULL,
  remedy: "Remove files, or create a machine with a larger disk.",
};
const unusable: Rule = {
  reason: ErrorReason.INVALID_ARGUMENT,
  remedy: "Choose another path.",
};

const RULES: Readonly<Record<string, Rule>> = {
  ENOENT: missing,
  EEXIST: exists,
  EISDIR: isDirectory,
  ERR_FS_EISDIR: isDirectory,
  ENOTDIR: notDirectory,
  ENOTEMPTY: notEmpty,
  EACCES: denied,
  EPERM: denied,
  EROFS: denied,
  EBUSY: denied,
  ETXTBSY: denied,
  ENOSPC: full,
  EDQUOT: full,
  EINVAL: unusable,
  ELOOP: unusable,
  ENAMETOOLONG: unusable,
  EFBIG: unusable,
  ENXIO: unusable,
};

const MESSAGES = new Map(getSystemErrorMap().values());

/** The code of a system error, as "ENOENT". */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** What a system error at a path means to a client; anything else is handed back as it is. */
export function fileFault(error: unknown, path: string): unknown {
  const code = errorCode(error);
  const rule = code === undefined ? undefined : RULES[code];
  if (code === undefined || rule === undefined) return error;
  return new Fault(rule.reason, `${path}: ${MESSAGES.get(code) ?? code}`, {
    remedy: rule.remedy,
    details: { path, errno: code },
    cause: error,
  });
}

/** Does some work at a path, and throws its system errors as faults. */
export async function atPath<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileFault(error, path);
  }
}
