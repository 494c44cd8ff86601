import { createHash } from "node:crypto";

/** The checksum of a message of a tree: of the data of all its entries. */
export function treeChecksum(entries: Iterable<{ data?: Uint8Array }>): Buffer {
  const hash = createHash("sha256");
  for (const { data } of entries) if (data !== undefined && data.length > 0) hash.update(data);
  return hash.digest();
}
