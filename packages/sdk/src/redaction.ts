import { REDACTED, redactSecrets } from "@nullspace/proto/tokens";

/**
 * A preview or transfer URL without its credentials, for logs and error messages.
 *
 * @example
 * ```ts
 * console.log(redactPreviewUrl(url)); // https://8080-m1.localhost/?edge_token=[redacted]
 * ```
 */
export function redactPreviewUrl(url: string): string {
  return redactSecrets(url);
}

/** What can be shown of a token: its family. */
export function redactPreviewToken(token: string): string {
  const [family = ""] = /^ns[a-z]{0,2}_/.exec(token) ?? [];
  return family + REDACTED;
}
