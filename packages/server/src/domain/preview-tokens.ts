import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { PreviewPass, PreviewTransport } from "./preview-grant.js";
import type { PreviewPlace } from "./preview-address.js";

/**
 * The families of tokens that previews know, by how each begins. None is good for
 * another's purpose: the family is part of what is signed.
 */
const FAMILIES = {
  /** In the query of a URL. */
  url: "nspv",
  /** In the cookie that follows it. */
  cookie: "nspc",
  /** In the header of a proxy's request. */
  proxy: "nspx",
  /** Besides one of those, where public traffic is not allowed. */
  traffic: "nstr",
} as const;

/** See {@link FAMILIES}. */
export type PreviewTokenFamily = Exclude<keyof typeof FAMILIES, "traffic">;

/** What a token is asked to open. */
export interface PreviewDoor extends PreviewPlace {
  readonly transport: PreviewTransport;
}

/** `family_grant.expiry.signature`: a grant's id, seconds in base 36, and 256 bits. */
const TOKEN = /^[a-z]{4}_(p[a-z0-9]{19})\.([0-9a-z]{1,9})\.([A-Za-z0-9_-]{43})$/;

/** Makes preview tokens and reads them again. What they open is signed, not written in them. */
export class PreviewTokens {
  readonly #key: KeyObject;
  readonly #now: () => number;

  /** @param key at least 32 secret bytes. */
  constructor(key: Uint8Array, now: () => number = Date.now) {
    this.#key = createSecretKey(key);
    this.#now = now;
  }

  /** The token of a grant for one transport. */
  sign(
    family: PreviewTokenFamily,
    transport: PreviewTransport,
    pass: Pick<PreviewPass, "id" | "machineId" | "port" | "expiresAt">,
  ): string {
    const expiry = secondsOf(pass.expiresAt).toString(36);
    const signature = this.#signature(family, pass.id, expiry, { ...pass, transport });
    return `${FAMILIES[family]}_${pass.id}.${expiry}.${signature}`;
  }

  /**
   * The grant behind a token. Nothing is looked up before the signature is right.
   *
   * @returns Id of the grant, and when the token expires.
   * @throws Fault PREVIEW_TOKEN_INVALID, PREVIEW_TOKEN_EXPIRED.
   */
  verify(
    family: PreviewTokenFamily,
    token: string,
    door: PreviewDoor,
  ): { grantId: string; expiresAt: Date } {
    const [, grantId = "", expiry = "", given = ""] = TOKEN.exec(token) ?? [];
    const expected = this.#signature(family, grantId, expiry, door);
    const isOurs = token.startsWith(`${FAMILIES[family]}_`) && equal(given, expected);
    if (!isOurs) {
      throw new Fault(ErrorReason.PREVIEW_TOKEN_INVALID, "this token does not open this preview", {
        remedy: "Use the URL as it was given, or ask for a new one: createSignedPreviewUrl().",
      });
    }
    const expiresAt = new Date(Number.parseInt(expiry, 36) * 1000);
    if (expiresAt.getTime() <= this.#now()) throw expired(expiresAt);
    return { grantId, expiresAt };
  }

  /** What opens all previews of a machine together with a token of theirs. */
  signTraffic(machineId: string): string {
    const signature = this.#mac(JSON.stringify([FAMILIES.traffic, machineId]));
    return `${FAMILIES.traffic}_${signature}`;
  }

  /** Whether this is the traffic token of a machine. */
  isTraffic(token: string, machineId: string): boolean {
    return equal(token, this.signTraffic(machineId));
  }

  #signature(
    family: PreviewTokenFamily,
    grantId: string,
    expiry: string,
    { machineId, port, transport }: PreviewDoor,
  ): string {
    // The transport of a cookie is the page's: what its page may open besides is decided by its origin.
    const signed = [FAMILIES[family], grantId, expiry, machineId, port, transport];
    return this.#mac(JSON.stringify(signed));
  }

  #mac(text: string): string {
    return createHmac("sha256", this.#key).update(text).digest("base64url");
  }
}

/** The refusal of a token, or of a grant, whose time is over. */
export function expired(at: Date): Fault {
  return new Fault(ErrorReason.PREVIEW_TOKEN_EXPIRED, "this way into the preview has expired", {
    remedy: "Ask for a new URL: createSignedPreviewUrl().",
    details: { expired_at: at.toISOString() },
  });
}

/** Whole seconds: what a token can say. */
export function secondsOf(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}

function equal(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
