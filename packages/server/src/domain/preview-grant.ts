import type { Page } from "./machine-store.js";

/** How a port is reached. */
export type PreviewTransport = "http" | "websocket";

/** Who carries a grant's tokens: a URL and then a cookie, or a proxy in a header. */
export type PreviewKind = "url" | "proxy";

/** What a grant lets in. It never changes. */
export interface PreviewPass {
  readonly id: string;
  readonly machineId: string;
  readonly port: number;
  readonly kind: PreviewKind;
  readonly transports: readonly PreviewTransport[];
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** A way into one port of one machine, and how it has been used. */
export interface PreviewGrant extends PreviewPass {
  readonly revokedAt: Date | undefined;
  readonly httpRequests: number;
  readonly websockets: number;
  /** Bytes to the machine. */
  readonly bytesIn: number;
  /** Bytes from the machine. */
  readonly bytesOut: number;
  readonly firstUsedAt: Date | undefined;
  readonly lastUsedAt: Date | undefined;
  /** Name of an ErrorReason; empty for none. */
  readonly lastError: string;
  readonly lastErrorAt: Date | undefined;
}

/** What has been used of a grant since that was written last. */
export interface PreviewUse {
  readonly httpRequests: number;
  readonly websockets: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** When it let something in; `undefined` if it did not. */
  readonly usedAt: Date | undefined;
  readonly lastError: string;
  readonly lastErrorAt: Date | undefined;
}

/** Which grants a listing is about, and which page of it. */
export interface PreviewQuery {
  readonly machineId: string;
  /** 0 for every port. */
  readonly port: number;
  readonly limit: number;
  /** Cursor of the page before; the first page when empty. */
  readonly cursor: string;
}

/** Where grants' records are kept. */
export interface PreviewStore {
  insert(pass: PreviewPass): Promise<void>;
  find(id: string): Promise<PreviewGrant | undefined>;
  /** @throws Fault INVALID_ARGUMENT when the cursor is not one of ours. */
  list(query: PreviewQuery): Promise<Page<PreviewGrant>>;
  /**
   * Ends a grant. One that has ended already keeps its time.
   *
   * @returns `undefined` when there is no such grant.
   */
  revoke(id: string, at: Date): Promise<PreviewGrant | undefined>;
  /** Adds to what has been used of a grant; does nothing when there is no such grant. */
  addUse(id: string, use: PreviewUse): Promise<void>;
  /**
   * Deletes at most `limit` grants that expired before `before`.
   *
   * @returns How many it deleted.
   */
  deleteExpired(before: Date, limit: number): Promise<number>;
}
