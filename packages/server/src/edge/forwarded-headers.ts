import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { MACHINE_ID_HEADER, REQUEST_ID_HEADER } from "@nullspace/proto";

/** Headers of one connection, not of the message: they end here. */
export const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "trailer",
];

/** What a guest has no business to see, or that we say ourselves. */
const KEPT_FROM_GUEST = new Set([
  ...HOP_BY_HOP,
  "host",
  "te",
  "authorization",
  "cookie",
  "origin",
  "referer",
  "expect",
  MACHINE_ID_HEADER,
]);

/** What we say ourselves on the way back. */
const KEPT_FROM_CLIENT = new Set([...HOP_BY_HOP, "te", "set-cookie", REQUEST_ID_HEADER]);
const KEPT_FROM_TRAILERS = new Set([...KEPT_FROM_CLIENT, "content-length"]);

/** The headers of a request as the guest gets them: no pseudo headers, no credentials. */
export function headersForGuest(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  // gRPC refuses requests that do not say it; whoever gets no trailers ignores it.
  return { ...copyWithout(headers, KEPT_FROM_GUEST), te: "trailers" };
}

/** The headers of a guest's response as the client gets them. */
export function headersForClient(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return copyWithout(headers, KEPT_FROM_CLIENT);
}

/** The trailers of a guest's response as the client gets them: nothing that tells how long it was. */
export function trailersForClient(trailers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return copyWithout(trailers, KEPT_FROM_TRAILERS);
}

function copyWithout(headers: IncomingHttpHeaders, left: ReadonlySet<string>): OutgoingHttpHeaders {
  const copy: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    const ours = name.startsWith(":") || name.startsWith("access-control-") || left.has(name);
    if (!ours && value !== undefined) copy[name] = value;
  }
  return copy;
}
