/** What stands in place of a secret. */
const REDACTED = "[redacted]";

/** Every family of tokens that opens a preview: `nspv_` of URLs, `nspc_` of cookies, `nspx_` of proxies, `nstr_` of traffic. */
const TOKEN = /\bns(?:pv|pc|px|tr)_[A-Za-z0-9._-]+/g;
/** The parameter that carries one, also where it stands encoded in another URL. */
const PARAMETER = /(edge_token(?:=|%3D))[^&#\s"'<>%]*/gi;

/**
 * Takes the secrets out of a preview's URL, or of any text that may hold one.
 *
 * @example
 * ```ts
 * console.log(redactPreviewUrl(url)); // http://3000-m....localhost:7070/?edge_token=[redacted]
 * ```
 */
export function redactPreviewUrl(url: string): string {
  return redactPreviewToken(url).replaceAll(PARAMETER, `$1${REDACTED}`);
}

/**
 * Takes preview tokens of every family out of a text. What is left of each tells its
 * family and nothing else.
 */
export function redactPreviewToken(text: string): string {
  return text.replaceAll(TOKEN, (token) => `${token.slice(0, 5)}${REDACTED}`);
}
