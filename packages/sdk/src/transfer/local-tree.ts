import { type Dirent, type Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import type { TransferEntry } from "./options.js";

const SLASH = Buffer.from("/");

/** Looks taken at files at a time. */
const BATCH = 64;

/** One thing in a local folder. */
export interface LocalEntry {
  /** Where it is; bytes, since a name may not be UTF-8. */
  file: Buffer;
  /** Below the folder. */
  below: Buffer;
  type: TransferEntry["type"];
  stats: Stats;
}

/** Walks through a local folder, parents before children, each folder's entries sorted by bytes. */
export async function* walkLocal(
  root: Buffer,
  filter: (entry: TransferEntry) => boolean,
  below: Buffer = Buffer.alloc(0),
): AsyncGenerator<LocalEntry> {
  const folder = below.length === 0 ? root : Buffer.concat([root, SLASH, below]);
  const dirents = await readdir(folder, { withFileTypes: true, encoding: "buffer" });
  const sorted = dirents.toSorted((a, b) => a.name.compare(b.name));
  for (let at = 0; at < sorted.length; at += BATCH) {
    const entries = await Promise.all(
      sorted.slice(at, at + BATCH).map((dirent) => look(folder, below, dirent)),
    );
    for (const entry of entries) {
      if (entry === undefined) continue;
      if (!filter({ path: entry.below.toString(), type: entry.type })) continue;
      yield entry;
      if (entry.type === "directory") yield* walkLocal(root, filter, entry.below);
    }
  }
}

async function look(
  folder: Buffer,
  below: Buffer,
  { name }: Dirent<Buffer>,
): Promise<LocalEntry | undefined> {
  const file = Buffer.concat([folder, SLASH, name]);
  const path = below.length === 0 ? name : Buffer.concat([below, SLASH, name]);
  try {
    const stats = await lstat(file);
    return { file, below: path, type: typeOf(stats), stats };
  } catch (error) {
    // Removed while we came by.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function typeOf(stats: Stats): TransferEntry["type"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  return stats.isSymbolicLink() ? "symlink" : "other";
}
