import { REDACTED, redactSecrets } from "./redaction.js";
import { TOKEN_FAMILIES } from "./token-families.js";

const { preview, "preview-cookie": cookie, "preview-proxy": proxy, traffic } = TOKEN_FAMILIES;
const PREFIXES = [preview, cookie, proxy, traffic].map(({ prefix }) => prefix);

/** What begins like a token of a preview, also where little of one is left. */
const TOKEN = new RegExp(String.raw`\b(${PREFIXES.join("|")})[A-Za-z0-9._-]+`, "g");

/**
 * Takes the secrets out of a preview's URL, or of any text that may hold one.
 *
 * @example
 * ```ts
 * console.log(redactPreviewUrl(url)); // http://3000-m....localhost:7070/?edge_token=[redacted]
 * ```
 */
export function redactPreviewUrl(url: string): string {
  return redactPreviewToken(url);
}

/**
 * Takes preview tokens, and credentials of every other family, out of a text. What is left of
 * each tells its family and nothing else; of an API key its id stays.
 */
export function redactPreviewToken(text: string): string {
  return redactSecrets(text.replaceAll(TOKEN, `$1${REDACTED}`));
}
