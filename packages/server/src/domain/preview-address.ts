import { invalid } from "./limits.js";

/** Where previews are: below which domain, and how browsers get there. */
export interface PreviewSite {
  /** In lower case, as "localhost". */
  readonly domain: string;
  readonly secure: boolean;
  /** The port that browsers connect to. */
  readonly port: number;
}

/** A port of a machine, as a preview's host names it. */
export interface PreviewPlace {
  readonly machineId: string;
  readonly port: number;
}

const LABEL = /^([1-9]\d{0,4})-(m[a-z0-9]{19})$/;
const MAX_PORT = 65_535;

/** Names of hosts below which there are previews. */
const DOMAIN =
  /^(?=.{1,200}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Reads where previews are to be: a domain, which is then served as the server itself is, or
 * a URL such as "https://preview.example.com" for a server behind a proxy.
 *
 * @param own What holds for a domain alone.
 * @returns `undefined` for what is neither.
 */
export function parsePreviewSite(
  text: string,
  own: { readonly secure: boolean; readonly port: number },
): PreviewSite | undefined {
  const domain = text.toLowerCase();
  if (DOMAIN.test(domain)) return { domain, ...own };
  const url = URL.parse(domain);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) return undefined;
  if (!DOMAIN.test(url.hostname) || url.href !== `${url.origin}/`) return undefined;
  const secure = url.protocol === "https:";
  return { domain: url.hostname, secure, port: Number(url.port) || (secure ? 443 : 80) };
}

/** The host of a preview, as URLs name it. */
export function previewHost(site: PreviewSite, { machineId, port }: PreviewPlace): string {
  const host = `${port}-${machineId}.${site.domain}`;
  return site.port === (site.secure ? 443 : 80) ? host : `${host}:${site.port}`;
}

/** The origin of a preview as a page, without a slash at its end. */
export function previewOrigin(site: PreviewSite, place: PreviewPlace): string {
  return `${site.secure ? "https" : "http"}://${previewHost(site, place)}`;
}

/** The same for WebSockets. */
export function previewWebsocketOrigin(site: PreviewSite, place: PreviewPlace): string {
  return `${site.secure ? "wss" : "ws"}://${previewHost(site, place)}`;
}

/**
 * Reads the host that a request names.
 *
 * @returns The preview; "none" for a host below the domain that is no preview's; `undefined`
 * for any other host.
 */
export function parsePreviewHost(
  site: PreviewSite,
  host: string | undefined,
): PreviewPlace | "none" | undefined {
  // Who connects may do so by another port than browsers do: through a proxy.
  const name = (host ?? "")
    .toLowerCase()
    .replace(/:\d{0,5}$/, "")
    .replace(/\.$/, "");
  if (!name.endsWith(`.${site.domain}`)) return undefined;
  const [, port, machineId] = LABEL.exec(name.slice(0, -site.domain.length - 1)) ?? [];
  if (machineId === undefined || Number(port) > MAX_PORT) return "none";
  return { machineId, port: Number(port) };
}

/** Of SSH, which has a way of its own, and of desktops. */
export function isPreviewPort(port: number): boolean {
  return port >= 1 && port <= MAX_PORT && port !== 22 && !(port >= 5900 && port <= 5999);
}

/** @throws Fault INVALID_ARGUMENT. */
export function checkMaskedHost(host: string): void {
  if (host === "") return;
  // What a header may hold of it, and no more: the rest is the service's affair.
  if (host.length <= 255 && /^[A-Za-z0-9._:[\]-]+$/.test(host.replaceAll("${PORT}", "0"))) return;
  throw invalid(
    "network.previews.mask_request_host",
    "is no host",
    'Give one such as "localhost:${PORT}", in at most 255 characters.',
  );
}
