import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type PreviewGrant as GrantMessage,
  PreviewGrantSchema,
  PreviewKind as Kind,
  PreviewTransport as Transport,
} from "@nullspace/proto";
import { invalid } from "../domain/limits.js";
import type {
  PreviewGrant,
  PreviewKind,
  PreviewPass,
  PreviewTransport,
} from "../domain/preview-grant.js";

/** The message that tells of a grant, and of its uses where there have been some. */
export function toGrantMessage(grant: PreviewPass & Partial<PreviewGrant>): GrantMessage {
  const { revokedAt, firstUsedAt, lastUsedAt, lastErrorAt } = grant;
  return create(PreviewGrantSchema, {
    id: grant.id,
    machineId: grant.machineId,
    port: grant.port,
    kind: grant.kind === "url" ? Kind.URL : Kind.PROXY,
    transports: grant.transports.map((name) =>
      name === "http" ? Transport.HTTP : Transport.WEBSOCKET,
    ),
    createdAt: timestampFromDate(grant.createdAt),
    expiresAt: timestampFromDate(grant.expiresAt),
    ...(revokedAt && { revokedAt: timestampFromDate(revokedAt) }),
    httpRequestCount: BigInt(grant.httpRequests ?? 0),
    websocketConnectionCount: BigInt(grant.websockets ?? 0),
    bytesIn: BigInt(grant.bytesIn ?? 0),
    bytesOut: BigInt(grant.bytesOut ?? 0),
    ...(firstUsedAt && { firstUsedAt: timestampFromDate(firstUsedAt) }),
    ...(lastUsedAt && { lastUsedAt: timestampFromDate(lastUsedAt) }),
    lastError: grant.lastError ?? "",
    ...(lastErrorAt && { lastErrorAt: timestampFromDate(lastErrorAt) }),
  });
}

/** @throws Fault INVALID_ARGUMENT. */
export function fromKindNumber(kind: Kind): PreviewKind {
  if (kind === Kind.PROXY) return "proxy";
  if (kind === Kind.URL || kind === Kind.UNSPECIFIED) return "url";
  throw invalid("kind", `is ${String(kind)}`, "Use a kind of PreviewKind.");
}

/** @throws Fault INVALID_ARGUMENT. */
export function fromTransportNumber(transport: Transport): PreviewTransport {
  if (transport === Transport.HTTP) return "http";
  if (transport === Transport.WEBSOCKET) return "websocket";
  throw invalid("transports", `holds ${transport}`, "Use transports of PreviewTransport.");
}
