import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";

/** Inputs of something that is built, by name. */
export type Inputs = Readonly<Record<string, string | number | readonly string[]>>;

/**
 * SHA-256 over named inputs, in lower-case hexadecimal. The order of names does
 * not matter; the order inside a list does.
 */
export function digestInputs(inputs: Inputs): string {
  const sorted = Object.entries(inputs).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex");
}

/** SHA-256 of a small file's content, as an input of {@link digestInputs}. */
export async function digestText(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

/** Size in bytes and SHA-256 of a file of any size. */
export interface FileSum {
  size: number;
  sha256: string;
}

/** Reads a whole file and sums it up. */
export async function sumFile(path: string, signal?: AbortSignal): Promise<FileSum> {
  const hash = createHash("sha256");
  const stream = createReadStream(path, { highWaterMark: 1 << 20, signal });
  await pipeline(stream, hash);
  return { size: stream.bytesRead, sha256: hash.digest("hex") };
}
