import { cors } from "@connectrpc/connect";
import { MACHINE_ID_HEADER, REQUEST_ID_HEADER } from "@nullspace/proto";
import type { EdgeRequest, EdgeResponse } from "./exchange.js";

const ALLOWED_HEADERS = [
  ...cors.allowedHeaders,
  "authorization",
  MACHINE_ID_HEADER,
  REQUEST_ID_HEADER,
].join(", ");
const EXPOSED_HEADERS = [...cors.exposedHeaders, REQUEST_ID_HEADER].join(", ");

/** How long a browser may remember the answer to a preflight: the longest that Chromium accepts. */
const MAX_AGE_SECONDS = "7200";

/**
 * Lets pages of every origin call the API. No credentials are involved that a
 * browser would send by itself: a page can only use a key that it knows.
 *
 * @returns Whether the request was a preflight and is answered now.
 */
export function applyCors(request: EdgeRequest, response: EdgeResponse): boolean {
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-expose-headers", EXPOSED_HEADERS);
  const isPreflight =
    request.method === "OPTIONS" && "access-control-request-method" in request.headers;
  if (!isPreflight) return false;
  response.setHeader("access-control-allow-methods", cors.allowedMethods.join(", "));
  response.setHeader("access-control-allow-headers", ALLOWED_HEADERS);
  response.setHeader("access-control-max-age", MAX_AGE_SECONDS);
  response.statusCode = 204;
  response.end();
  return true;
}
