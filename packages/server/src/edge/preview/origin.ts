import type { IncomingHttpHeaders } from "node:http";

/** Where a request came in. */
export interface OwnOrigin {
  /** As browsers write it: "http://3000-m….localhost:7070". */
  readonly origin: string;
  /** Whether another origin is a preview of the same machine. */
  readonly isSibling: (host: string) => boolean;
}

/**
 * Whether a visitor's cookie may let in a request, for all that the browser tells of who
 * makes it. A cookie goes along with whatever a page asks for, also a page that somebody
 * else has made: of the same site are all previews of a domain.
 *
 * Programs that are no browsers send no Origin; they would not hold the cookie by accident.
 */
export function mayUseCookie(headers: IncomingHttpHeaders, own: OwnOrigin): boolean {
  const { origin } = headers;
  if (origin !== undefined) return isOwn(origin, own);
  const site = headers["sec-fetch-site"];
  const isForeign = site === "same-site" || site === "cross-site";
  // Following a link, or typing the address, is the visitor's own wish.
  return !isForeign || headers["sec-fetch-mode"] === "navigate";
}

/**
 * Whether a visitor's cookie may let in a WebSocket: only for a page of this very origin.
 * Browsers ask nobody before they open a WebSocket to another host, and let the page read.
 */
export function mayUpgradeByCookie(headers: IncomingHttpHeaders, own: OwnOrigin): boolean {
  return headers.origin?.toLowerCase() === own.origin;
}

function isOwn(origin: string, { origin: own, isSibling }: OwnOrigin): boolean {
  if (origin.toLowerCase() === own) return true;
  const url = URL.parse(origin);
  return url !== null && url.protocol === new URL(own).protocol && isSibling(url.host);
}
