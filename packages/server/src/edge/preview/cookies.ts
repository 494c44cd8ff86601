/**
 * Name of the cookie that lets a visitor in after the first visit. Where pages come by TLS
 * its name keeps other hosts of the domain from setting it.
 */
export function previewCookieName(secure: boolean): string {
  return secure ? "__Host-ns_preview" : "ns_preview";
}

/** The header that sets it: for this host alone, out of reach of scripts. */
export function previewCookie(secure: boolean, token: string, expiresAt: Date): string {
  const parts = [
    `${previewCookieName(secure)}=${token}`,
    "Path=/",
    `Expires=${expiresAt.toUTCString()}`,
    "HttpOnly",
    "SameSite=Lax",
    ...(secure ? ["Secure"] : []),
  ];
  return parts.join("; ");
}

/** What a request's cookies of one name hold. There may be several: other hosts may set some. */
export function cookieValues(header: string | undefined, name: string): string[] {
  return pairs(header).flatMap((pair) => (nameOf(pair) === name ? [valueOf(pair)] : []));
}

/** A request's cookies without ours; `undefined` when none is left. */
export function cookiesForGuest(header: string | undefined): string | undefined {
  const kept = pairs(header).filter((pair) => !isOurs(nameOf(pair)));
  return kept.length === 0 ? undefined : kept.join("; ");
}

/**
 * Cookies that a service sets, for its own host alone: none of ours, and none that other
 * previews of the domain would be sent.
 */
export function cookiesForClient(cookies: readonly string[]): string[] {
  return cookies.flatMap((cookie) => {
    const [pair = "", ...attributes] = cookie.split(";");
    if (isOurs(nameOf(pair))) return [];
    const kept = attributes.filter((attribute) => nameOf(attribute).toLowerCase() !== "domain");
    return [[pair, ...kept].join(";")];
  });
}

function isOurs(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === previewCookieName(false) || lower === previewCookieName(true).toLowerCase();
}

function pairs(header: string | undefined): string[] {
  return (header ?? "")
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair !== "");
}

function nameOf(pair: string): string {
  const [name = ""] = pair.split("=", 1);
  return name.trim();
}

function valueOf(pair: string): string {
  const value = pair.slice(pair.indexOf("=") + 1).trim();
  return value.startsWith('"') && value.endsWith('"') && value.length > 1
    ? value.slice(1, -1)
    : value;
}
