import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  PREVIEW_PROXY_TOKEN_HEADER,
  type PreviewGrant as GrantMessage,
  PreviewKind as Kind,
  type PreviewServiceCreateResponse,
  PreviewTransport as Transport,
  TRAFFIC_ACCESS_TOKEN_HEADER,
} from "@nullspace/proto";
import { type CallOptions, DEFAULT_TIMEOUT_MS } from "../call.js";
import type { Connection } from "../connection.js";
import { InternalError } from "../errors.js";
import { Page, type PagePromise, pagePromise } from "../page.js";
import type {
  ListPreviewsOptions,
  PreviewGrant,
  PreviewHostInfo,
  PreviewProxyOptions,
  PreviewProxyTarget,
  PreviewReadiness,
  PreviewTransport,
  PreviewUrl,
  SignedPreviewOptions,
  SignedPreviewUrl,
  WaitForPreviewOptions,
} from "./options.js";

const FORWARDED_HEADERS = ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-for"];
const WAIT_MS = 30_000;

/** The ways into one machine's ports: what the methods of {@link Machine} do, without a handle of it. */
export class Previews {
  readonly #connection: Connection;
  readonly #machineId: string;

  /** @internal */
  constructor(connection: Connection, machineId: string) {
    this.#connection = connection;
    this.#machineId = machineId;
  }

  /** See {@link Machine.getPreviewUrl}. */
  async address(port: number, options: CallOptions = {}): Promise<PreviewUrl> {
    const machineId = this.#machineId;
    const { host, httpUrl, websocketUrl, trafficAccessRequired } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.previews.getAddress({ machineId, port }, attempt),
      { idempotent: true },
    );
    return { machineId, port, host, url: httpUrl, websocketUrl, trafficAccessRequired };
  }

  /** See {@link Machine.createSignedPreviewUrl}. */
  async sign(port: number, options: SignedPreviewOptions = {}): Promise<SignedPreviewUrl> {
    const { grant, httpUrl, websocketUrl, trafficAccessRequired } = await this.#create(
      { port, kind: Kind.URL, transports: [] },
      options,
    );
    const made = fromGrantMessage(grant);
    const { expiresAt } = made;
    return { grant: made, url: httpUrl, websocketUrl, expiresAt, trafficAccessRequired };
  }

  /** See {@link Machine.getHostInfo}. */
  async host(port: number, options: SignedPreviewOptions = {}): Promise<PreviewHostInfo> {
    const signed = await this.sign(port, options);
    return { host: new URL(signed.url).host, port, ...signed };
  }

  /** See {@link Machine.createPreviewProxyTarget}. */
  async proxyTarget(port: number, options: PreviewProxyOptions = {}): Promise<PreviewProxyTarget> {
    const transports = (options.transports ?? []).map((name) =>
      name === "http" ? Transport.HTTP : Transport.WEBSOCKET,
    );
    const made = await this.#create({ port, kind: Kind.PROXY, transports }, options);
    const grant = fromGrantMessage(made.grant);
    return {
      grant,
      port,
      httpUrl: made.httpUrl || undefined,
      websocketUrl: made.websocketUrl || undefined,
      tokenHeaderName: PREVIEW_PROXY_TOKEN_HEADER,
      httpToken: made.httpToken || undefined,
      websocketToken: made.websocketToken || undefined,
      tokenTransport: "header",
      requiredForwardedHeaders: [...FORWARDED_HEADERS],
      trafficAccessRequired: made.trafficAccessRequired,
      trafficAccessHeaderName: TRAFFIC_ACCESS_TOKEN_HEADER,
      expiresAt: grant.expiresAt,
    };
  }

  /** See {@link Machine.listPreviewUrls}. */
  list(options: ListPreviewsOptions = {}): PagePromise<PreviewGrant> {
    return pagePromise(this.#page(options, options.cursor ?? ""));
  }

  /** See {@link Machine.revokePreviewUrl}. */
  async revoke(id: string, options: CallOptions = {}): Promise<PreviewGrant> {
    const { grant } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.previews.revoke({ id }, attempt),
      { idempotent: true },
    );
    return fromGrantMessage(grant);
  }

  /** See {@link Machine.waitForPreview}. */
  async wait(port: number, options: WaitForPreviewOptions = {}): Promise<PreviewReadiness> {
    const { timeoutMs = WAIT_MS, path = "" } = options;
    const request = { machineId: this.#machineId, port, path, timeoutMs };
    const answer = await this.#connection.unary(
      options,
      (attempt) => this.#connection.previews.wait(request, attempt),
      { idempotent: true, defaultTimeoutMs: timeoutMs + DEFAULT_TIMEOUT_MS },
    );
    const { routeReady, serviceReady, attempts, elapsedMs } = answer;
    return {
      ready: routeReady && serviceReady,
      routeReady,
      serviceReady,
      status: answer.status || undefined,
      attempts,
      elapsedMs,
      code: answer.code || undefined,
      message: answer.message || undefined,
      remedy: answer.remedy || undefined,
    };
  }

  async #create(
    request: { port: number; kind: Kind; transports: Transport[] },
    options: SignedPreviewOptions,
  ): Promise<PreviewServiceCreateResponse> {
    const { expiresInSeconds } = options;
    // Not asked for is the default, which 0 stands for; 0 itself is clamped as any other number.
    const seconds = expiresInSeconds === undefined ? 0 : Math.max(1, Math.ceil(expiresInSeconds));
    const full = { ...request, machineId: this.#machineId, expiresInSeconds: seconds };
    return this.#connection.unary(
      options,
      (attempt) => this.#connection.previews.create(full, attempt),
      // A grant whose answer was lost opens nothing: nobody has its token.
      { idempotent: true },
    );
  }

  async #page(options: ListPreviewsOptions, cursor: string): Promise<Page<PreviewGrant>> {
    const { port = 0, limit = 0 } = options;
    const request = { machineId: this.#machineId, port, limit, cursor };
    const { grants, nextCursor } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.previews.list(request, attempt),
      { idempotent: true },
    );
    return new Page(grants.map(fromGrantMessage), nextCursor, (next) => this.#page(options, next));
  }
}

function fromGrantMessage(grant: GrantMessage | undefined): PreviewGrant {
  if (grant?.createdAt === undefined || grant.expiresAt === undefined) {
    throw new InternalError("the server's answer holds no grant", {
      remedy: "Is the server as new as this SDK?",
    });
  }
  const { revokedAt, firstUsedAt, lastUsedAt, lastErrorAt } = grant;
  const httpRequestCount = Number(grant.httpRequestCount);
  const websocketConnectionCount = Number(grant.websocketConnectionCount);
  return {
    id: grant.id,
    machineId: grant.machineId,
    port: grant.port,
    kind: grant.kind === Kind.PROXY ? "proxy" : "url",
    transports: grant.transports.map(fromTransport),
    createdAt: timestampDate(grant.createdAt),
    expiresAt: timestampDate(grant.expiresAt),
    revokedAt: revokedAt && timestampDate(revokedAt),
    httpRequestCount,
    websocketConnectionCount,
    useCount: httpRequestCount + websocketConnectionCount,
    bytesIn: Number(grant.bytesIn),
    bytesOut: Number(grant.bytesOut),
    firstUsedAt: firstUsedAt && timestampDate(firstUsedAt),
    lastUsedAt: lastUsedAt && timestampDate(lastUsedAt),
    lastError: grant.lastError || undefined,
    lastErrorAt: lastErrorAt && timestampDate(lastErrorAt),
  };
}

function fromTransport(transport: Transport): PreviewTransport {
  return transport === Transport.WEBSOCKET ? "websocket" : "http";
}
