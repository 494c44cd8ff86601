import type { Stats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { basename } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type FileInfoSchema, FileType } from "@nullspace/proto/agent";
import type { UserDatabase } from "../guest/users.js";

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
  };
}

/**
 * Looks at a file, and where it is a symbolic link at the link.
 *
 * @param file where it is, a buffer when its name may not be UTF-8.
 * @param path what clients call it.
 */
export async function inspect(
  file: string | Buffer,
  path: string,
  users: UserDatabase,
): Promise<FileInfo> {
  const stats = await lstat(file);
  const info = describe(path, stats, users);
  return stats.isSymbolicLink() ? { ...info, symlinkTarget: await readlink(file) } : info;
}

function fileType(stats: Stats): FileType {
  if (stats.isFile()) return FileType.FILE;
  if (stats.isDirectory()) return FileType.DIRECTORY;
  return stats.isSymbolicLink() ? FileType.SYMLINK : FileType.OTHER;
}
