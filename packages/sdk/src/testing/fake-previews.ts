import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  ErrorReason,
  type PreviewGrant,
  PreviewGrantSchema,
  PreviewKind,
  type PreviewService,
  type PreviewServiceCreateRequest,
  type PreviewServiceListRequest,
  type PreviewServiceWaitRequest,
  PreviewTransport,
} from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** PreviewService over a list in memory. Nothing is behind its URLs. */
export class FakePreviews implements ServiceImpl<typeof PreviewService> {
  /** Newest first. */
  readonly all: PreviewGrant[] = [];
  readonly requests: (PreviewServiceCreateRequest | PreviewServiceWaitRequest)[] = [];
  /** What the services of this port answer with; 0 for no service. */
  status = 200;

  create = (request: PreviewServiceCreateRequest) => {
    this.requests.push(request);
    const { machineId, port, transports } = request;
    const kind = request.kind || PreviewKind.URL;
    const grant = create(PreviewGrantSchema, {
      id: `p${this.all.length}`,
      machineId,
      port,
      kind,
      transports:
        transports.length > 0 ? transports : [PreviewTransport.HTTP, PreviewTransport.WEBSOCKET],
      createdAt: timestampNow(),
      expiresAt: timestampFromMs(Date.now() + (request.expiresInSeconds || 3600) * 1000),
    });
    this.all.unshift(grant);
    const host = `${port}-${machineId}.localhost:7070`;
    const proxy = kind === PreviewKind.PROXY;
    const query = proxy ? "__ns_preview_transport=header" : "edge_token=nspv_x.y.z";
    const has = (transport: PreviewTransport) => grant.transports.includes(transport);
    return {
      grant,
      httpUrl: has(PreviewTransport.HTTP) ? `http://${host}/?${query}` : "",
      websocketUrl: has(PreviewTransport.WEBSOCKET) ? `ws://${host}/?${query}` : "",
      httpToken: proxy && has(PreviewTransport.HTTP) ? "nspx_h" : "",
      websocketToken: proxy && has(PreviewTransport.WEBSOCKET) ? "nspx_w" : "",
      trafficAccessRequired: false,
    };
  };

  getAddress = ({ machineId, port }: { machineId: string; port: number }) => {
    const host = `${port}-${machineId}.localhost:7070`;
    return { host, httpUrl: `http://${host}/`, websocketUrl: `ws://${host}/` };
  };

  list = (request: PreviewServiceListRequest) => {
    const limit = request.limit || 50;
    const start = Number(request.cursor || 0);
    const matching = this.all.filter(
      ({ machineId, port }) =>
        machineId === request.machineId && (request.port === 0 || request.port === port),
    );
    const end = start + limit;
    const nextCursor = end < matching.length ? String(end) : "";
    return { grants: matching.slice(start, end), nextCursor };
  };

  revoke = ({ id }: { id: string }) => {
    const grant = this.all.find((one) => one.id === id);
    if (grant === undefined) throw new Fault(ErrorReason.PREVIEW_NOT_FOUND, `no grant ${id}`);
    grant.revokedAt ??= timestampNow();
    return { grant };
  };

  wait = (request: PreviewServiceWaitRequest) => {
    this.requests.push(request);
    const serviceReady = this.status > 0;
    return {
      routeReady: true,
      serviceReady,
      status: request.path === "" ? 0 : this.status,
      attempts: 1,
      elapsedMs: 1.5,
      ...(!serviceReady && {
        code: "PREVIEW_SERVICE_NOT_READY",
        message: "nothing listens",
        remedy: "Start it.",
      }),
    };
  };
}
