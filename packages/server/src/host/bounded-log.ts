import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { hasCode } from "./durable-files.js";

const KEPT_BYTES = 64 * 1024;
const MAX_BYTES = 1024 * 1024;

/**
 * The end of a file that a guest writes, as text; empty when there is no such file.
 *
 * @param maxBytes - how much of it at most.
 */
export async function readTail(path: string, maxBytes: number): Promise<string> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const { size } = await file.stat();
    const length = Math.min(size, maxBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString("utf8", 0, bytesRead).replaceAll("\0", "");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return "";
    throw error;
  }
}

/**
 * Cuts a log that has become too long back to its end. Whoever writes it has it
 * open for appending and goes on; what it writes during the cut may be lost.
 */
export async function trimLog(path: string): Promise<void> {
  try {
    await using file = await open(
      path,
      constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW,
    );
    const { size } = await file.stat();
    if (size <= MAX_BYTES) return;
    const { buffer } = await file.read(Buffer.alloc(KEPT_BYTES), 0, KEPT_BYTES, size - KEPT_BYTES);
    await file.truncate(0);
    await file.write(buffer);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
}
