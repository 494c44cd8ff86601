import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type SignedFamilyName, TOKEN_FAMILIES } from "@nullspace/proto/tokens";
import { isSameSecret } from "./constant-time.js";
import type { PreviewPass, PreviewTransport } from "./preview-grant.js";
import type { PreviewPlace } from "./preview-address.js";
import type { SigningKeys } from "./signing-keys.js";

/** What carries a token, and the family it is of. */
const FAMILIES = {
  /** In the query of a URL. */
  url: "preview",
  /** In the cookie that follows it. */
  cookie: "preview-cookie",
  /** In the header of a proxy's request. */
  proxy: "preview-proxy",
} as const satisfies Record<string, SignedFamilyName>;

/** See {@link FAMILIES}. */
export type PreviewTokenFamily = keyof typeof FAMILIES;

/** What opens all previews of a machine together with a token of theirs. */
const TRAFFIC = TOKEN_FAMILIES.traffic.prefix;

/** What a token is asked to open. */
export interface PreviewDoor extends PreviewPlace {
  readonly transport: PreviewTransport;
}

/** `family_grant.expiry.key.signature`: a grant's id, seconds in base 36, and 256 bits. */
const TOKEN = /^[a-z]{4}_(p[a-z0-9]{19})\.([0-9a-z]{1,9})\.([a-z0-9]{8}\.[A-Za-z0-9_-]{43})$/;

/** Makes preview tokens and reads them again. What they open is signed, not written in them. */
export class PreviewTokens {
  readonly #keys: SigningKeys;
  readonly #trafficKey: KeyObject;
  readonly #now: () => number;

  /** @param trafficKey at least 32 secret bytes, which last: traffic tokens do as long as their machines. */
  constructor(keys: SigningKeys, trafficKey: Uint8Array, now: () => number = Date.now) {
    this.#keys = keys;
    this.#trafficKey = createSecretKey(trafficKey);
    this.#now = now;
  }

  /** The token of a grant for one transport. */
  sign(
    family: PreviewTokenFamily,
    transport: PreviewTransport,
    pass: Pick<PreviewPass, "id" | "machineId" | "port" | "expiresAt">,
  ): string {
    const expiry = secondsOf(pass.expiresAt).toString(36);
    const name = FAMILIES[family];
    const signature = this.#keys.sign(name, textOf(pass.id, expiry, { ...pass, transport }));
    return `${TOKEN_FAMILIES[name].prefix}${pass.id}.${expiry}.${signature}`;
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
    const name = FAMILIES[family];
    const isOurs =
      token.startsWith(TOKEN_FAMILIES[name].prefix) &&
      this.#keys.verify(name, textOf(grantId, expiry, door), given);
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
    const mac = createHmac("sha256", this.#trafficKey).update(JSON.stringify([TRAFFIC, machineId]));
    return TRAFFIC + mac.digest("base64url");
  }

  /** Whether this is the traffic token of a machine. */
  isTraffic(token: string, machineId: string): boolean {
    return isSameSecret(token, this.signTraffic(machineId));
  }
}

/** All that a token is for. The transport of a cookie is the page's: what its page may open besides is decided by its origin. */
function textOf(
  grantId: string,
  expiry: string,
  { machineId, port, transport }: PreviewDoor,
): string {
  return JSON.stringify([grantId, expiry, machineId, port, transport]);
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
