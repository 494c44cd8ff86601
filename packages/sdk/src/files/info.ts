import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type FileInfo as InfoMessage, FileType as TypeMessage } from "@nullspace/proto/agent";
import { InternalError } from "../errors.js";

/** What kind of thing a path names. `other` is a device, a socket or a pipe. */
export type FileType = "file" | "directory" | "symlink" | "other";

/** What is known of a file or folder. */
export interface FileInfo {
  /** Last part of the path. */
  name: string;
  /** Absolute. */
  path: string;
  type: FileType;
  /** Bytes. */
  size: number;
  /** Permission bits, as `0o644`. */
  mode: number;
  /** Name of the owner, or the number where the guest has no name. */
  owner: string;
  /** Name of the group, or the number where the guest has no name. */
  group: string;
  modifiedAt: Date;
  /** The name as it is, where it is not UTF-8 and `name` shows replacement characters. */
  rawName: Uint8Array | undefined;
  /** Where a symbolic link points, as it is written; undefined for everything else. */
  symlinkTarget: string | undefined;
}

/** The SDK's words for the protocol's. */
export const TYPES: Record<TypeMessage, FileType> = {
  [TypeMessage.UNSPECIFIED]: "other",
  [TypeMessage.FILE]: "file",
  [TypeMessage.DIRECTORY]: "directory",
  [TypeMessage.SYMLINK]: "symlink",
  [TypeMessage.OTHER]: "other",
};

/** A file's info as the SDK gives it. */
export function fromInfoMessage(info: InfoMessage | undefined): FileInfo {
  if (info === undefined) {
    throw new InternalError("the machine's answer holds no file info");
  }
  return {
    name: info.name,
    path: info.path,
    type: TYPES[info.type],
    size: Number(info.size),
    mode: info.mode,
    owner: info.owner,
    group: info.group,
    modifiedAt: info.modifiedAt ? timestampDate(info.modifiedAt) : new Date(0),
    rawName: info.rawName.length > 0 ? info.rawName : undefined,
    symlinkTarget: info.symlinkTarget || undefined,
  };
}
