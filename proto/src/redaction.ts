import { TOKEN_FAMILIES } from "./token-families.js";

/** What stands where a credential was. */
export const REDACTED = "[redacted]";

const FORMS = Object.values(TOKEN_FAMILIES)
  .map(({ prefix, body }) => `${prefix}${body}`)
  .join("|");

/** A token may stand behind anything that is no part of a word, and behind the escapes of URLs and JSON. */
const TOKEN = new RegExp(
  String.raw`(?<=^|[^A-Za-z0-9]|%[0-9A-Fa-f]{2}|\\[bfnrt])(?:${FORMS})`,
  "g",
);

/** What an API key begins with before its secret part: enough to find it in a list of keys. */
const API_KEY_ID = /^ns_[a-z0-9]{12}(?=_)/;

/** Where a name begins whose value is secret, also in a URL within a URL, and what stands between. */
const BEFORE_NAME = String.raw`(?:^|[?&;\s"']|%3F|%26)`;
const BEFORE_VALUE = String.raw`(?:"?\s*[:=]\s*"?|%3D)(?!\[redacted\])`;
const VALUE = String.raw`(?:[^\s&;#%"'\\,}<>]|%(?!2[36]))`;

/** Values of queries, cookies and headers that are secret whatever they look like; a signature may be another word. */
const SECRET_VALUES = new RegExp(
  `(${BEFORE_NAME}(?:edge_token|x-nullspace-preview-proxy-token|x-nullspace-traffic-access-token)${BEFORE_VALUE})${VALUE}+` +
    `|(${BEFORE_NAME}signature${BEFORE_VALUE})${VALUE}{8,}`,
  "gi",
);

const BEARER = /\b(Bearer +)(?!\[redacted\])[^\s"'\\,]{12,}/gi;

/**
 * Hides every credential in a text: tokens of every family by their prefix, bearer tokens, and the
 * secret parts of URLs, cookies and headers. Of an API key its id stays.
 *
 * @example
 * ```ts
 * redactSecrets("key ns_abcdefghijkl_0123…"); // "key ns_abcdefghijkl_[redacted]"
 * ```
 */
export function redactSecrets(text: string): string {
  return text
    .replace(TOKEN, hideToken)
    .replace(
      SECRET_VALUES,
      (_whole, name: string | undefined, signature: string | undefined) =>
        `${name ?? signature ?? ""}${REDACTED}`,
    )
    .replace(BEARER, (whole, word: string) =>
      whole.includes(REDACTED) ? whole : `${word}${REDACTED}`,
    );
}

/**
 * Whether a text holds a credential that {@link redactSecrets} would hide by its prefix.
 *
 * @returns Where the first one begins; -1 when there is none.
 */
export function findToken(text: string): number {
  return text.search(TOKEN);
}

function hideToken(token: string): string {
  const shown = API_KEY_ID.exec(token)?.[0] ?? token.slice(0, token.indexOf("_"));
  return `${shown}_${REDACTED}`;
}
