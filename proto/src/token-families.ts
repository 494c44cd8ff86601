/** What is known of a family of credentials. */
export interface TokenFamily {
  /** What every token of the family begins with. */
  readonly prefix: string;
  /** What follows, as a regular expression that also finds one that was cut off. */
  readonly body: string;
  /**
   * Signed ones say what they are for and are not stored; random ones are compared with a stored
   * hash.
   */
  readonly kind: "random" | "signed";
  /** The longest time that one is good, in seconds; 0 for one that lasts until it is revoked. */
  readonly longestSeconds: number;
}

const DAY_SECONDS = 86_400;

/** An id to find it by, and a secret. */
const RANDOM_BODY = "[a-z0-9]{12}_[a-z0-9]{8,}";

/** Id of the signing key, signature, claims. */
const SIGNED_BODY = String.raw`[a-z0-9]{8,}\.[A-Za-z0-9_.-]{8,}`;

/**
 * Every family of credentials, in one place: keys are derived, tokens are hidden in logs and tests
 * are made from this table. A token of one family never opens what is another's.
 */
export const TOKEN_FAMILIES = {
  /** An account's own key. */
  "api-key": {
    prefix: "ns_",
    body: RANDOM_BODY,
    kind: "random",
    longestSeconds: 0,
  },
  /** In the query of a preview URL. */
  preview: { prefix: "nspv_", body: SIGNED_BODY, kind: "signed", longestSeconds: DAY_SECONDS },
  /** What a browser keeps after the first visit of a preview. */
  "preview-cookie": {
    prefix: "nspc_",
    body: SIGNED_BODY,
    kind: "signed",
    longestSeconds: DAY_SECONDS,
  },
  /** In a header that a reverse proxy sends. */
  "preview-proxy": {
    prefix: "nspx_",
    body: SIGNED_BODY,
    kind: "signed",
    longestSeconds: DAY_SECONDS,
  },
  /** Second lock of a machine's ports that are not public. */
  traffic: { prefix: "nstr_", body: "[A-Za-z0-9_-]{16,}", kind: "random", longestSeconds: 0 },
  /** In the URL of a desktop's viewer. */
  viewer: { prefix: "nsvw_", body: SIGNED_BODY, kind: "signed", longestSeconds: DAY_SECONDS },
  /** Lets a client of SSH through to one machine's port 22. */
  "ssh-relay": { prefix: "nssh_", body: RANDOM_BODY, kind: "random", longestSeconds: DAY_SECONDS },
  /** The signature of a URL for one file. */
  "transfer-url": {
    prefix: "nstu_",
    body: SIGNED_BODY,
    kind: "signed",
    longestSeconds: DAY_SECONDS,
  },
} as const satisfies Record<string, TokenFamily>;

/** Name of a family of credentials. */
export type TokenFamilyName = keyof typeof TOKEN_FAMILIES;

/** Name of a family whose tokens are signed. */
export type SignedFamilyName = {
  [Name in TokenFamilyName]: (typeof TOKEN_FAMILIES)[Name]["kind"] extends "signed" ? Name : never;
}[TokenFamilyName];

/** The longest time that any signed token is good, in seconds: a retired signing key is kept so long. */
export const LONGEST_TOKEN_SECONDS: number = Math.max(
  ...Object.values(TOKEN_FAMILIES).map(({ longestSeconds }) => longestSeconds),
);
