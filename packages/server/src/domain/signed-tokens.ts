import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type SignedFamilyName, TOKEN_FAMILIES } from "@nullspace/proto/tokens";
import { invalid } from "./limits.js";
import type { SigningKeys } from "./signing-keys.js";

/** Longest token that is looked at, in characters. */
const LONGEST_TOKEN = 4096;

/** What a token says: for what it is good, by name. */
export type Claims = Readonly<Record<string, string>>;

/** A token that was made, or one that was found good. */
export interface SignedToken {
  readonly claims: Claims;
  readonly expiresAt: Date;
}

/**
 * Tokens that say themselves for what and how long they are good: `<prefix><key>.<mac>.<claims>`.
 * Nothing is stored; what has to be revoked before its time carries an id that its owner looks up.
 *
 * @example
 * ```ts
 * const { token } = tokens.issue("preview", { machine: "m1", port: "80", grant: "g1" }, 3600);
 * const { claims } = tokens.open("preview", token, { machine: "m1", port: "80" });
 * claims.grant; // "g1"
 * ```
 */
export class SignedTokens {
  readonly #keys: SigningKeys;
  readonly #now: () => number;

  constructor(keys: SigningKeys, now: () => number = Date.now) {
    this.#keys = keys;
    this.#now = now;
  }

  /**
   * Makes a token.
   *
   * @param claims What it is for. They can be read by whoever has the token.
   * @param expiresInSeconds From 1 to the family's longest.
   * @throws Fault INVALID_ARGUMENT for a time that is longer.
   */
  issue(
    family: SignedFamilyName,
    claims: Claims,
    expiresInSeconds: number,
  ): SignedToken & { readonly token: string } {
    const { prefix, longestSeconds } = TOKEN_FAMILIES[family];
    if (!Number.isInteger(expiresInSeconds) || !isBetween(expiresInSeconds, 1, longestSeconds)) {
      throw invalid(
        "expires_in_seconds",
        `is ${expiresInSeconds}`,
        `Give 1 to ${longestSeconds} seconds.`,
      );
    }
    const expires = Math.floor(this.#now() / 1000) + expiresInSeconds;
    const payload = Buffer.from(JSON.stringify({ expires, claims })).toString("base64url");
    return {
      token: `${prefix}${this.#keys.sign(family, payload)}.${payload}`,
      claims,
      expiresAt: new Date(expires * 1000),
    };
  }

  /**
   * Reads a token.
   *
   * @param expected Claims that it has to carry: the place where it is shown.
   * @throws Fault TOKEN_INVALID when it is of another family, another place or not ours; TOKEN_EXPIRED.
   */
  open(family: SignedFamilyName, token: string, expected: Claims): SignedToken {
    const read = this.#read(family, token);
    for (const [name, value] of Object.entries(expected)) {
      if (!Object.hasOwn(read.claims, name) || read.claims[name] !== value) throw invalidToken();
    }
    if (read.expiresAt.getTime() > this.#now()) return read;
    throw new Fault(ErrorReason.TOKEN_EXPIRED, "this token has expired", {
      remedy: "Ask for a new one.",
      details: { expired_at: read.expiresAt.toISOString() },
    });
  }

  #read(family: SignedFamilyName, token: string): SignedToken {
    const { prefix } = TOKEN_FAMILIES[family];
    if (token.length > LONGEST_TOKEN || !token.startsWith(prefix)) throw invalidToken();
    const at = token.lastIndexOf(".");
    const payload = token.slice(at + 1);
    if (!this.#keys.verify(family, payload, token.slice(prefix.length, Math.max(at, 0)))) {
      throw invalidToken();
    }
    // From here on it is a text that we have signed.
    const content: unknown = JSON.parse(Buffer.from(payload, "base64url").toString());
    if (!isPayload(content)) throw invalidToken();
    const claims: Record<string, string> = {};
    for (const [name, value] of Object.entries(content.claims)) claims[name] = String(value);
    return { claims, expiresAt: new Date(content.expires * 1000) };
  }
}

function isPayload(content: unknown): content is { expires: number; claims: object } {
  if (typeof content !== "object" || content === null) return false;
  if (!("expires" in content) || !("claims" in content)) return false;
  const { expires, claims } = content;
  return typeof expires === "number" && typeof claims === "object" && claims !== null;
}

function isBetween(value: number, min: number, max: number): boolean {
  return value >= min && value <= max;
}

function invalidToken(): Fault {
  return new Fault(ErrorReason.TOKEN_INVALID, "this is no token for this place", {
    remedy: "Use the token or URL as it was given, where it was made for.",
  });
}
