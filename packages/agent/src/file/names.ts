import { readdir } from "node:fs/promises";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Anchor } from "./anchor.js";

const SLASH = 0x2f;

/** Names in a folder, in the order of their bytes. */
export async function namesIn(folder: Anchor): Promise<Buffer[]> {
  const names = await readdir(folder.path, { encoding: "buffer" });
  return names.toSorted((a, b) => a.compare(b));
}

/**
 * The names that a path below a folder is made of; none for the folder itself.
 *
 * @throws Fault INVALID_ARGUMENT for a path that could lead out of the folder.
 */
export function splitBelow(path: Uint8Array): Buffer[] {
  const bytes = Buffer.from(path.buffer, path.byteOffset, path.byteLength);
  if (bytes.length === 0) return [];
  const names: Buffer[] = [];
  for (let start = 0; start <= bytes.length;) {
    const slash = bytes.indexOf(SLASH, start);
    const end = slash < 0 ? bytes.length : slash;
    const name = bytes.subarray(start, end);
    if (!isPlainName(name)) throw notBelow(bytes);
    names.push(name);
    start = end + 1;
  }
  return names;
}

/** Whether a folder can hold something of this name. */
function isPlainName(name: Buffer): boolean {
  if (name.length === 0 || name.includes(0)) return false;
  const text = name.length <= 2 ? name.toString("latin1") : "";
  return text !== "." && text !== "..";
}

/** The bytes of a text that shows them wrongly, and nothing for one that does not. */
export function rawUnlessText(bytes: Buffer, text: string): Buffer | undefined {
  return text.includes("\ufffd") && !Buffer.from(text).equals(bytes) ? bytes : undefined;
}

function notBelow(path: Buffer): Fault {
  const text = JSON.stringify(path.toString());
  return new Fault(ErrorReason.INVALID_ARGUMENT, `${text} is no path below a folder`, {
    remedy: "Give names with a slash between, none of them empty, '.' or '..'.",
    details: { field: "path" },
  });
}
