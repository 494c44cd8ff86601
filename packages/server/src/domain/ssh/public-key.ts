import { createHash } from "node:crypto";

/** Longest line that is looked at: an RSA key of 16384 bits has 2.8 kB. */
const MOST_CHARACTERS = 8192;
const LEAST_RSA_BITS = 2048;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const ED25519_BYTES = 32;

/** Kinds of keys that are signed. What OpenSSH itself has given up is not among them. */
const TYPES: ReadonlySet<string> = new Set([
  "ssh-ed25519",
  "ssh-rsa",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "sk-ssh-ed25519@openssh.com",
  "sk-ecdsa-sha2-nistp256@openssh.com",
]);

/** A public key. */
export interface SshPublicKey {
  readonly type: string;
  /** Type and key as OpenSSH writes them, without a comment: one line and nothing else. */
  readonly text: string;
  /** As `ssh-keygen -l` shows it. */
  readonly fingerprint: string;
}

/** What is wrong with a line that should be a public key. */
export class PublicKeyError extends Error {
  override readonly name = "PublicKeyError";
}

/**
 * Reads a line of a `.pub` file. Whoever sent it may mean no good: what comes
 * back was written anew from what was understood.
 *
 * @throws PublicKeyError.
 */
export function parsePublicKey(line: string): SshPublicKey {
  if (line.length > MOST_CHARACTERS) throw new PublicKeyError("is too long for a public key");
  if (/PRIVATE KEY/.test(line)) {
    throw new PublicKeyError("is a private key, which nobody should see: make a new one");
  }
  const trimmed = line.trim();
  if (/[\r\n\0]/.test(trimmed)) throw new PublicKeyError("is more than one line");
  const [type = "", base64 = ""] = trimmed.split(/[ \t]+/, 2);
  if (!TYPES.has(type)) {
    throw new PublicKeyError(`does not begin with a kind of key that is signed here`);
  }
  const blob = BASE64.test(base64) ? Buffer.from(base64, "base64") : Buffer.alloc(0);
  const fields = fieldsOf(blob);
  if (fields?.[0]?.toString("latin1") !== type) {
    throw new PublicKeyError("is damaged: its base64 holds no key of its kind");
  }
  checkStrength(type, fields);
  return {
    type,
    text: `${type} ${blob.toString("base64")}`,
    fingerprint: `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`,
  };
}

function checkStrength(type: string, [, second, third]: readonly Buffer[]): void {
  if (type === "ssh-rsa" && bitsOf(third) < LEAST_RSA_BITS) {
    throw new PublicKeyError(`is an RSA key of less than ${LEAST_RSA_BITS} bits`);
  }
  if (type === "ssh-ed25519" && second?.length !== ED25519_BYTES) {
    throw new PublicKeyError("is damaged: an Ed25519 key has 32 bytes");
  }
}

/** The fields of a key, each after its length; `undefined` where they do not fill it. */
function fieldsOf(blob: Buffer): Buffer[] | undefined {
  const fields: Buffer[] = [];
  let at = 0;
  while (at + 4 <= blob.length) {
    const end = at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return undefined;
    fields.push(blob.subarray(at + 4, end));
    at = end;
  }
  return at === blob.length ? fields : undefined;
}

/** Length of a number that is written as SSH does. */
function bitsOf(number: Buffer | undefined): number {
  if (number === undefined) return 0;
  const first = number.findIndex((byte) => byte !== 0);
  if (first < 0) return 0;
  return (number.length - first) * 8 - (Math.clz32(number.readUInt8(first)) - 24);
}
