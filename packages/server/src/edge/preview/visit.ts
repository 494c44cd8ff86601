import type { IncomingHttpHeaders } from "node:http";
import {
  EDGE_TOKEN_PARAMETER,
  ErrorReason,
  PREVIEW_PROXY_TOKEN_HEADER,
  PREVIEW_TRANSPORT_PARAMETER,
} from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { cookieValues, previewCookieName } from "./cookies.js";
import { mayUpgradeByCookie, mayUseCookie, type OwnOrigin } from "./origin.js";
import { stripParameters } from "./query.js";

/** A token, by what it came in. */
export interface FoundToken {
  readonly family: "url" | "cookie" | "proxy";
  readonly token: string;
}

/** What a request for a preview says, apart from the service's own affairs. */
export interface Visit {
  /** What the service sees of the target: without our parameters. */
  readonly target: string;
  /** The tokens that it carries, all in one place: a header before the query before cookies. */
  readonly tokens: readonly FoundToken[];
}

/**
 * Reads the tokens of a request.
 *
 * @throws Fault PREVIEW_TOKEN_MISSING, PREVIEW_ORIGIN_REFUSED, INVALID_ARGUMENT.
 */
export function readVisit(
  transport: "http" | "websocket",
  url: string,
  headers: IncomingHttpHeaders,
  own: OwnOrigin & { readonly secure: boolean },
): Visit {
  // A whole URL would be another host's, whatever the Host header says.
  if (!url.startsWith("/")) {
    throw new Fault(ErrorReason.INVALID_ARGUMENT, "the request's target is no path", {
      remedy: 'Begin it with "/".',
    });
  }
  const { target, values } = stripParameters(url, [
    EDGE_TOKEN_PARAMETER,
    PREVIEW_TRANSPORT_PARAMETER,
  ]);
  const byProxy = headers[PREVIEW_PROXY_TOKEN_HEADER];
  if (byProxy !== undefined || values.get(PREVIEW_TRANSPORT_PARAMETER) === "header") {
    if (typeof byProxy !== "string") {
      throw missing(`Send the token in the header ${PREVIEW_PROXY_TOKEN_HEADER}, once.`);
    }
    return { target, tokens: [{ family: "proxy", token: byProxy }] };
  }
  const token = values.get(EDGE_TOKEN_PARAMETER);
  if (token !== undefined) return { target, tokens: [{ family: "url", token }] };
  const cookies = cookieValues(headers.cookie, previewCookieName(own.secure));
  if (cookies.length === 0) throw missing("Open the URL that createSignedPreviewUrl() gives.");
  const may = transport === "http" ? mayUseCookie : mayUpgradeByCookie;
  if (!may(headers, own)) {
    throw new Fault(
      ErrorReason.PREVIEW_ORIGIN_REFUSED,
      "a page of another origin may not use this visitor's cookie",
      { remedy: `Give the request a token of its own: ${EDGE_TOKEN_PARAMETER} in its query.` },
    );
  }
  return { target, tokens: cookies.map((value) => ({ family: "cookie", token: value })) };
}

/**
 * Whether a request opens a page, so that its address is seen: then the token is to
 * vanish from it. Programs that fetch a URL get their answer at once.
 */
export function isNavigation(method: string | undefined, headers: IncomingHttpHeaders): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  const mode = headers["sec-fetch-mode"];
  if (mode !== undefined) return mode === "navigate";
  return headers.accept?.includes("text/html") === true;
}

function missing(remedy: string): Fault {
  return new Fault(ErrorReason.PREVIEW_TOKEN_MISSING, "this preview needs a token", { remedy });
}
