import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { MACHINE_ID_HEADER } from "@nullspace/proto";
import { HOP_BY_HOP } from "../forwarded-headers.js";
import { cookiesForClient, cookiesForGuest } from "./cookies.js";

/** Begins every header of the platform's own. */
const OUR_PREFIX = "x-nullspace-";
/** A key of the API, wherever it stands: it is for us, not for a service. */
const API_KEY = /\bns_[a-z0-9]{12}_[a-z0-9]{44}\b/;

const KEPT_FROM_GUEST = new Set([
  ...HOP_BY_HOP,
  "te",
  "expect",
  "host",
  "cookie",
  "forwarded",
  MACHINE_ID_HEADER,
]);
const FORWARDED = ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-for"] as const;

/** What of a response is not for clients: of one connection, or about more than this host. */
const KEPT_FROM_CLIENT = new Set([...HOP_BY_HOP, "alt-svc", "clear-site-data", "set-cookie"]);

/** What services are told of the way a request came. */
export interface Arrival {
  /** The host as the visitor named it. */
  readonly host: string;
  readonly secure: boolean;
  readonly address: string | undefined;
  /** Through a customer's proxy, which tells of the way itself. */
  readonly byProxy: boolean;
  /** The Host that the service sees. */
  readonly guestHost: string;
}

/** The headers of a request as a service gets them: without credentials of the platform. */
export function previewHeadersForGuest(
  headers: IncomingHttpHeaders,
  { host, secure, address, byProxy, guestHost }: Arrival,
): OutgoingHttpHeaders {
  const sent: OutgoingHttpHeaders = { host: guestHost };
  const left = namedByConnection(headers.connection);
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":") || name.startsWith(OUR_PREFIX)) continue;
    if (KEPT_FROM_GUEST.has(name) || left.has(name)) continue;
    if (name === "authorization" && API_KEY.test(String(value))) continue;
    if (name === "referer" && String(value).includes("edge_token=")) continue;
    sent[name] = value;
  }
  const cookie = cookiesForGuest(headers.cookie);
  if (cookie !== undefined) sent["cookie"] = cookie;
  if (byProxy) return sent;
  // What a visitor says of the way is not to be believed.
  for (const name of Object.keys(sent)) if (name.startsWith("x-forwarded-")) delete sent[name];
  delete sent["x-real-ip"];
  const said = [host, secure ? "https" : "http", address];
  for (const [index, name] of FORWARDED.entries()) {
    if (said[index] !== undefined) sent[name] = said[index];
  }
  return sent;
}

/** The headers of a service's response as the client gets them. */
export function previewHeadersForClient(rawHeaders: readonly string[]): OutgoingHttpHeaders {
  const values = new Map<string, string[]>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? "").toLowerCase();
    const value = rawHeaders[index + 1] ?? "";
    const former = values.get(name);
    if (former === undefined) values.set(name, [value]);
    else former.push(value);
  }
  const left = namedByConnection(values.get("connection")?.join(","));
  const sent: OutgoingHttpHeaders = {};
  for (const [name, [first = "", ...more]] of values) {
    if (KEPT_FROM_CLIENT.has(name) || left.has(name)) continue;
    sent[name] = more.length === 0 ? first : [first, ...more];
  }
  const cookies = cookiesForClient(values.get("set-cookie") ?? []);
  if (cookies.length > 0) sent["set-cookie"] = cookies;
  return sent;
}

/** Headers that a message's Connection header says are of one connection. */
function namedByConnection(connection: string | undefined): ReadonlySet<string> {
  if (connection === undefined) return NOTHING;
  return new Set(connection.split(",").map((name) => name.trim().toLowerCase()));
}

const NOTHING: ReadonlySet<string> = new Set();
