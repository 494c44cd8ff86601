import { createHash, timingSafeEqual } from "node:crypto";

/** SHA-256, as it is kept of a random secret: what is as long as ours needs no salt. */
export function hashOf(secret: string): string {
  return digest(secret).toString("hex");
}

/**
 * Whether a secret is the one whose hash is kept. Takes as long for one that is not, known or unknown.
 *
 * @param hash - `undefined` where there is none: no secret is that one.
 */
export function isKept(secret: string, hash: string | undefined): boolean {
  const expected = Buffer.from(hash ?? "0".repeat(64), "hex");
  return timingSafeEqual(digest(secret), expected) && hash !== undefined;
}

function digest(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
