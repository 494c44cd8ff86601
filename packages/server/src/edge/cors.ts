import { cors } from "@connectrpc/connect";
import { MACHINE_ID_HEADER, REQUEST_ID_HEADER, RETRY_AFTER_HEADER } from "@nullspace/proto";
import type { EdgeRequest, EdgeResponse } from "./exchange.js";

const ALLOWED_HEADERS = [
  ...cors.allowedHeaders,
  "authorization",
  MACHINE_ID_HEADER,
  REQUEST_ID_HEADER,
].join(", ");

/** What pages of other origins may send, and see. */
export interface CorsPolicy {
  readonly methods: string;
  readonly headers: string;
  readonly exposed: string;
}

/** For calls of the API. */
export const RPC_CORS: CorsPolicy = {
  methods: cors.allowedMethods.join(", "),
  headers: ALLOWED_HEADERS,
  exposed: [...cors.exposedHeaders, REQUEST_ID_HEADER, RETRY_AFTER_HEADER].join(", "),
};

/** For transfer URLs. */
export const TRANSFER_CORS: CorsPolicy = {
  methods: "GET, HEAD, PUT, POST",
  headers: [
    "content-type",
    "content-range",
    "repr-digest",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    REQUEST_ID_HEADER,
  ].join(", "),
  exposed: [
    "accept-ranges",
    "content-disposition",
    "content-length",
    "content-range",
    "etag",
    "last-modified",
    "range",
    REQUEST_ID_HEADER,
  ].join(", "),
};

/** How long a browser may remember the answer to a preflight: the longest that Chromium accepts. */
const MAX_AGE_SECONDS = "7200";

/**
 * Lets pages of every origin call the API. No credentials are involved that a
 * browser would send by itself: a page can only use a key that it knows.
 *
 * @returns Whether the request was a preflight and is answered now.
 */
export function applyCors(
  request: EdgeRequest,
  response: EdgeResponse,
  policy: CorsPolicy,
): boolean {
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-expose-headers", policy.exposed);
  const isPreflight =
    request.method === "OPTIONS" && "access-control-request-method" in request.headers;
  if (!isPreflight) return false;
  response.setHeader("access-control-allow-methods", policy.methods);
  response.setHeader("access-control-allow-headers", policy.headers);
  response.setHeader("access-control-max-age", MAX_AGE_SECONDS);
  response.statusCode = 204;
  response.end();
  return true;
}
