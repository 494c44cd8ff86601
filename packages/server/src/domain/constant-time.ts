import { timingSafeEqual } from "node:crypto";

/**
 * Whether two texts are the same, in a time that tells nothing of where they differ. As texts: of two
 * that decode to the same bytes only one was made by us.
 */
export function isSameSecret(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
