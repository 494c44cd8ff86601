import { FileType } from "@nullspace/proto/agent";
import type { UserDatabase } from "../guest/users.js";
import type { Anchor } from "./anchor.js";
import { errorCode } from "./file-fault.js";
import { type FileInfo, inspect } from "./file-info.js";
import { namesIn } from "./names.js";
import { isTemporaryName } from "./replacement.js";

/** Entries looked at together, and sent together. */
const BATCH = 128;

/** What is listed. */
export interface ListOptions {
  /** What clients call the folder. */
  path: string;
  /** Levels below the folder, at least 1. */
  depth: number;
  /** A path below the folder that is left out. */
  except: string | undefined;
}

/**
 * Lists what lies below a folder, parents before children and each folder's
 * entries sorted by the bytes of their names, in batches. Links are not
 * followed. A name that is not UTF-8 shows with replacement characters.
 */
export async function* listFolder(
  folder: Anchor,
  { path, depth, except }: ListOptions,
  users: UserDatabase,
): AsyncGenerator<FileInfo[]> {
  const reserved = except === undefined ? undefined : joinPath(path, except);
  let batch: FileInfo[] = [];
  for await (const info of walk(folder, path, depth, reserved, users)) {
    if (batch.push(info) < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

async function* walk(
  folder: Anchor,
  path: string,
  depth: number,
  except: string | undefined,
  users: UserDatabase,
): AsyncGenerator<FileInfo> {
  const names = await namesIn(folder);
  for (let at = 0; at < names.length; at += BATCH) {
    // Not a path of the client's: what it is called is all that is wanted of it.
    const entries = await Promise.all(
      names.slice(at, at + BATCH).map(async (name) => {
        const info = await inspectIfThere(folder, name, joinPath(path, name.toString()), users);
        return { name, info };
      }),
    );
    for (const { name, info } of entries) {
      if (info?.path === undefined || info.path === except) continue;
      if (isTemporaryName(name.toString("latin1"))) continue;
      yield info;
      if (info.type !== FileType.DIRECTORY || depth <= 1) continue;
      yield* ifThere(folder, name, (inside) =>
        walk(inside, info.path ?? "", depth - 1, except, users),
      );
    }
  }
}

/** What a client calls something in a folder. */
export function joinPath(folder: string, name: string): string {
  return folder === "/" ? `/${name}` : `${folder}/${name}`;
}

/** What is removed while it is listed is left out. */
async function inspectIfThere(
  folder: Anchor,
  name: Buffer,
  path: string,
  users: UserDatabase,
): Promise<FileInfo | undefined> {
  try {
    return await inspect(folder.at(name), path, users, name);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function* ifThere<T>(
  folder: Anchor,
  name: Buffer,
  work: (inside: Anchor) => AsyncGenerator<T>,
): AsyncGenerator<T> {
  try {
    using inside = folder.descend(name);
    yield* work(inside);
  } catch (error) {
    if (errorCode(error) !== "ENOENT" && errorCode(error) !== "ENOTDIR") throw error;
  }
}
