import { randomBytes } from "node:crypto";

const ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";
/** The largest multiple of the alphabet's length that a byte can reach: bytes from here on would favour some letters. */
const UNBIASED = 256 - (256 % ALPHABET.length);

/**
 * Random lower-case letters and digits from the system's secure source, each
 * worth 5.17 bits. Safe in DNS names, URLs, paths and shells.
 *
 * @param length Number of characters.
 */
export function randomAlphanumeric(length: number): string {
  let text = "";
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < UNBIASED && text.length < length) text += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return text;
}

/** A new snapshot id: `s` and 19 random characters, 98 bits. */
export function newSnapshotId(): string {
  return `s${randomAlphanumeric(19)}`;
}

/** A new machine id: `m` and 19 random characters, 98 bits. It is also the machine's hostname. */
export function newMachineId(): string {
  return `m${randomAlphanumeric(19)}`;
}

/** A new id of a preview's grant: `p` and 19 random characters, 98 bits. */
export function newPreviewGrantId(): string {
  return `p${randomAlphanumeric(19)}`;
}
