import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { FileType } from "@nullspace/proto/agent";
import type { UserDatabase } from "../guest/users.js";
import { errorCode } from "./file-fault.js";
import { type FileInfo, inspect } from "./file-info.js";
import type { Place } from "./paths.js";
import { isTemporaryName } from "./replacement.js";

/** Entries looked at together, and sent together. */
const BATCH = 128;

const SLASH = Buffer.from("/");

/**
 * Lists what lies below a folder, parents before children and each folder's
 * entries sorted by the bytes of their names, in batches. Links are not
 * followed. A name that is not UTF-8 shows with replacement characters.
 *
 * @param depth levels below the folder, at least 1.
 */
export async function* listFolder(
  { path, real }: Place,
  depth: number,
  users: UserDatabase,
): AsyncGenerator<FileInfo[]> {
  let batch: FileInfo[] = [];
  for await (const info of walk(Buffer.from(real), path, depth, users)) {
    if (batch.push(info) < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

async function* walk(
  folder: Buffer,
  path: string,
  depth: number,
  users: UserDatabase,
): AsyncGenerator<FileInfo> {
  const names = (await readdir(folder, { encoding: "buffer" })).toSorted((a, b) => a.compare(b));
  for (let at = 0; at < names.length; at += BATCH) {
    const entries = await Promise.all(
      names.slice(at, at + BATCH).map(async (name) => {
        const file = Buffer.concat([folder, SLASH, name]);
        return { file, info: await inspectIfThere(file, join(path, name.toString()), users) };
      }),
    );
    for (const { file, info } of entries) {
      if (info?.name === undefined || isTemporaryName(info.name)) continue;
      yield info;
      const descends = info.type === FileType.DIRECTORY && depth > 1;
      if (descends) yield* ifThere(walk(file, join(path, info.name), depth - 1, users));
    }
  }
}

/** What is removed while it is listed is left out. */
async function inspectIfThere(
  file: Buffer,
  path: string,
  users: UserDatabase,
): Promise<FileInfo | undefined> {
  try {
    return await inspect(file, path, users);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function* ifThere(entries: AsyncGenerator<FileInfo>): AsyncGenerator<FileInfo> {
  try {
    yield* entries;
  } catch (error) {
    if (errorCode(error) !== "ENOENT" && errorCode(error) !== "ENOTDIR") throw error;
  }
}
