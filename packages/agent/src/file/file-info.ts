import type { Stats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { basename } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type FileInfoSchema, FileType } from "@nullspace/proto/agent";
import type { UserDatabase } from "../guest/users.js";
import type { Name } from "./anchor.js";
import { rawUnlessText } from "./names.js";

export type FileInfo = MessageInitShape<typeof FileInfoSchema>;

/** What clients learn of a file whose stat is known. */
export function describe(path: string, stats: Stats, users: UserDatabase): FileInfo {
  return {
    name: basename(path),
    path,
    type: fileType(stats),
    size: BigInt(stats.size),
    mode: stats.mode & 0o7777,
    owner: users.userName(stats.uid),
    group: users.groupName(stats.gid),
    modifiedAt: timestampFromMs(Math.floor(stats.mtimeMs)),
    version: versionOf(stats),
  };
}

/** Changes with every change of the file, for all that its file system can tell. */
export function versionOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return `${ino}-${size}-${mtimeMs}-${ctimeMs}`;
}

/**
 * Looks at a file, and where it is a symbolic link at the link.
 *
 * @param file where it is.
 * @param path what clients call it.
 * @param name its name, where it may not be UTF-8.
 */
export async function inspect(
  file: Name,
  path: string,
  users: UserDatabase,
  name?: Name,
): Promise<FileInfo> {
  const stats = await lstat(file);
  const info = describe(path, stats, users);
  if (Buffer.isBuffer(name)) {
    info.name = name.toString();
    const raw = rawUnlessText(name, info.name);
    if (raw !== undefined) info.rawName = raw;
  }
  return stats.isSymbolicLink() ? { ...info, symlinkTarget: await readlink(file) } : info;
}

/** What kind of thing a stat tells of. */
export function fileType(
  stats: Pick<Stats, "isFile" | "isDirectory" | "isSymbolicLink">,
): FileType {
  if (stats.isFile()) return FileType.FILE;
  if (stats.isDirectory()) return FileType.DIRECTORY;
  return stats.isSymbolicLink() ? FileType.SYMLINK : FileType.OTHER;
}
