import type { CallOptions } from "../call.js";

/** How a port is reached. */
export type PreviewTransport = "http" | "websocket";

/** What {@link Machine.createSignedPreviewUrl} takes. */
export interface SignedPreviewOptions extends CallOptions {
  /** How long the way in is open, in seconds; 3600 when not given. Less than 60 is 60, more than 86400 is 86400. */
  expiresInSeconds?: number | undefined;
}

/** What {@link Machine.createPreviewProxyTarget} takes. */
export interface PreviewProxyOptions extends SignedPreviewOptions {
  /** Both when not given. */
  transports?: readonly PreviewTransport[] | undefined;
}

/** What {@link Machine.listPreviewUrls} takes. */
export interface ListPreviewsOptions extends CallOptions {
  /** Only those of this port. */
  port?: number | undefined;
  /** Grants on a page, 1 to 100; 50 when not given. */
  limit?: number | undefined;
  /** `nextCursor` of the page before. */
  cursor?: string | undefined;
}

/** What {@link Machine.waitForPreview} takes. */
export interface WaitForPreviewOptions extends CallOptions {
  /** How long to wait for the service, in milliseconds, at most 300000; 30000 when not given. */
  timeoutMs?: number | undefined;
  /** Of a request that the service is to answer, as "/health"; a connection is enough when not given. */
  path?: string | undefined;
}

/** Where a port's previews are. Nothing in it lets anybody in. */
export interface PreviewUrl {
  machineId: string;
  port: number;
  /** As `3000-m....localhost:7070`. */
  host: string;
  url: string;
  websocketUrl: string;
  /** Requests must carry the machine's traffic access token too. */
  trafficAccessRequired: boolean;
}

/** A way into one port, and how it has been used. */
export interface PreviewGrant {
  id: string;
  machineId: string;
  port: number;
  /** Who carries its tokens: a URL, or a proxy in a header. */
  kind: "url" | "proxy";
  transports: PreviewTransport[];
  createdAt: Date;
  expiresAt: Date;
  /** Undefined while it is not revoked. */
  revokedAt: Date | undefined;
  httpRequestCount: number;
  websocketConnectionCount: number;
  /** Both counts together. */
  useCount: number;
  /** Bytes to the machine. */
  bytesIn: number;
  /** Bytes from the machine. */
  bytesOut: number;
  firstUsedAt: Date | undefined;
  lastUsedAt: Date | undefined;
  /** A reason as {@link NullspaceError.reason}; undefined if nothing failed. */
  lastError: string | undefined;
  lastErrorAt: Date | undefined;
}

/** A URL that lets its bearer in. Treat it as a secret; {@link redactPreviewUrl} takes the secret out. */
export interface SignedPreviewUrl {
  grant: PreviewGrant;
  url: string;
  websocketUrl: string;
  expiresAt: Date;
  trafficAccessRequired: boolean;
}

/** What a port's URLs are, signed: as {@link SignedPreviewUrl}, with the host. */
export interface PreviewHostInfo extends SignedPreviewUrl {
  host: string;
  port: number;
}

/** Where a proxy of your own sends requests, and what it adds to them. Keep the tokens on your server. */
export interface PreviewProxyTarget {
  grant: PreviewGrant;
  port: number;
  /** No secret. Undefined without the transport. */
  httpUrl: string | undefined;
  websocketUrl: string | undefined;
  /** The header that carries the token. */
  tokenHeaderName: string;
  httpToken: string | undefined;
  websocketToken: string | undefined;
  tokenTransport: "header";
  /** Passed to the service as your proxy sends them: set them all. */
  requiredForwardedHeaders: string[];
  trafficAccessRequired: boolean;
  /** The header that carries the traffic access token, where one is required. */
  trafficAccessHeaderName: string;
  expiresAt: Date;
}

/** Whether a preview works, and if not, at which end it fails. */
export interface PreviewReadiness {
  /** Both are. */
  ready: boolean;
  /** The machine runs and its agent answers. */
  routeReady: boolean;
  /** The service takes connections and, where a path was given, answers. */
  serviceReady: boolean;
  /** Of the last answer; undefined without a path, or without an answer. */
  status: number | undefined;
  attempts: number;
  elapsedMs: number;
  /** Why it is not ready, such as `PREVIEW_SERVICE_NOT_READY`; undefined when it is. */
  code: string | undefined;
  /** The same in words. */
  message: string | undefined;
  remedy: string | undefined;
}
