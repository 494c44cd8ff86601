import { open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { randomAlphanumeric } from "../domain/random.js";

/** Writes a file that only its owner may read: whole or not at all, and there after a power cut. */
export async function writePrivateFile(path: string, content: string): Promise<void> {
  const temporary = join(dirname(path), `.tmp-${randomAlphanumeric(12)}`);
  {
    await using file = await open(temporary, "wx", 0o600);
    await file.writeFile(content);
    await file.sync();
  }
  await rename(temporary, path);
  await using directory = await open(dirname(path));
  await directory.sync();
}

/** Reads a file; `undefined` when there is none. */
export async function readOptionalFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
