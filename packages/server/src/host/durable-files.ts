import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

const TEMPORARY_PREFIX = ".tmp-";

/** A name beside `path` that {@link removeLeftovers} clears away if its owner does not. */
export function temporaryName(path: string): string {
  const unique = randomBytes(6).toString("hex");
  return join(dirname(path), `${TEMPORARY_PREFIX}${basename(path)}-${unique}`);
}

/** Whether a folder's entry is a {@link temporaryName}, or what is left of one. */
export function isTemporaryName(name: string): boolean {
  return name.startsWith(TEMPORARY_PREFIX);
}

/** How {@link replaceFile} writes. */
export interface ReplaceOptions {
  /** Permission bits. */
  mode: number;
  /** Whether the file survives a power cut once this returns, not just the end of this process. */
  durable: boolean;
}

/** Puts a whole file in place: a reader sees the former one or the new one, nothing between. */
export async function replaceFile(
  path: string,
  contents: string | Uint8Array,
  options: ReplaceOptions,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await using file = await open(temporary, "wx", options.mode);
    await file.writeFile(contents);
    if (options.durable) await file.sync();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (options.durable) await syncPath(dirname(path));
}

/** Makes a folder under a temporary name beside `path`, for {@link publishDirectory}. */
export async function makeTemporaryDirectory(path: string, mode = 0o700): Promise<string> {
  const temporary = temporaryName(path);
  await mkdir(temporary, { mode });
  return temporary;
}

/**
 * Gives a finished folder its name, after all its files are on the disk: what has
 * the name is whole, even after a power cut.
 */
export async function publishDirectory(temporary: string, path: string): Promise<void> {
  const names = await readdir(temporary);
  await Promise.all(names.map((name) => syncPath(join(temporary, name))));
  await syncPath(temporary);
  await rename(temporary, path);
  await syncPath(dirname(path));
}

/** Removes a file or folder. It loses its name at once, so nobody finds half of it. Gone already is fine. */
export async function removeTree(path: string): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await rename(path, temporary);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    throw error;
  }
  await rm(temporary, { recursive: true, force: true });
}

/** Removes what processes that were cut off left in a folder. */
export async function removeLeftovers(directory: string): Promise<void> {
  const names = await readdir(directory);
  const leftovers = names.filter(isTemporaryName);
  await Promise.all(
    leftovers.map((name) => rm(join(directory, name), { recursive: true, force: true })),
  );
}

/** Whether an error is one of the system's with this code, as "ENOENT". */
export function hasCode(error: unknown, ...codes: string[]): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

/** Waits until a file or folder is on the disk. */
export async function syncPath(path: string): Promise<void> {
  await using handle = await open(path, "r");
  await handle.sync();
}
