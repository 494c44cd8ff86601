import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { EDGE_TOKEN_PARAMETER, ErrorReason, TRAFFIC_ACCESS_TOKEN_HEADER } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type ConnectAgent, connectInTime } from "../connect-agent.js";
import { type EdgeRequest, type EdgeResponse, onDeparture } from "../exchange.js";
import { beginTunnel } from "../tunnel/port-tunnel.js";
import { answerFailure, reasonName, refuseUpgrade } from "./answers.js";
import { PreviewConnections } from "./connections.js";
import { previewCookie } from "./cookies.js";
import { previewHeadersForGuest } from "./headers.js";
import { type GuestRequest, relayRequest } from "./relay-request.js";
import { relayWebsocket } from "./relay-websocket.js";
import { TunnelAgent } from "./tunnel-agent.js";
import { type FoundToken, isNavigation, readVisit, type Visit } from "./visit.js";

type Transport = "http" | "websocket";

/** A port of a machine, as a preview's host names it. */
export interface Place {
  readonly machineId: string;
  readonly port: number;
}

/** What a token lets in. */
export interface Pass {
  readonly id: string;
  readonly machineId: string;
  readonly port: number;
  readonly expiresAt: Date;
  readonly transports: readonly Transport[];
}

/** A machine that runs. */
export interface Destination {
  readonly id: string;
  readonly previews: {
    readonly allowPublicTraffic: boolean;
    readonly maskRequestHost: string;
    readonly trafficId: string;
  };
}

/** What {@link PreviewEdge} needs of the rest of the server. */
export interface PreviewEdgeOptions {
  /** The preview that a host names; "none" for one below the domain that is no preview's. */
  readonly parseHost: (host: string | undefined) => Place | "none" | undefined;
  /** Whether browsers come by TLS. */
  readonly secure: boolean;
  /** @throws Fault when the token does not open this. */
  readonly admit: (token: FoundToken, door: Place & { transport: Transport }) => Promise<Pass>;
  /** Whether a grant was revoked meanwhile. */
  readonly isRevoked: (grantId: string) => boolean;
  /** Calls back with each grant that is revoked. */
  readonly onRevoked: (callback: (grantId: string) => void) => unknown;
  /** The token of the cookie that a pass is worth. */
  readonly signCookie: (pass: Pass) => string;
  readonly isTrafficToken: (token: string, trafficId: string) => boolean;
  /** The machine that runs behind an id; wakes one that may be woken. @throws Fault. */
  readonly route: (machineId: string, signal: AbortSignal) => Promise<Destination>;
  /** Notes that a machine is in use until what it gives is disposed. */
  readonly use: (machineId: string) => Disposable;
  /** Where uses are counted. */
  readonly usage: {
    begin(grantId: string, transport: Transport): void;
    move(grantId: string, bytesIn: number, bytesOut: number): void;
    fail(grantId: string, reason: string): void;
  };
  readonly connectAgent: ConnectAgent;
  /** Aborted with a Fault when the server begins to stop. */
  readonly stopping: AbortSignal;
  /** Told of errors that nobody foresaw. */
  readonly onDefect: (error: unknown) => void;
}

/** Lets visitors of previews in to services in machines. */
export class PreviewEdge {
  readonly #options: PreviewEdgeOptions;
  readonly #connections = new PreviewConnections();
  readonly #agent: TunnelAgent;

  constructor(options: PreviewEdgeOptions) {
    this.#options = options;
    this.#agent = new TunnelAgent(async (machineId, port) =>
      // Not opened first: that would be another way there and back before each first request.
      beginTunnel(await connectInTime(options.connectAgent, machineId), { port }),
    );
    options.onRevoked((grantId) => this.#connections.cut(grantId, revoked()));
  }

  /** The preview that a request is for: by its host alone, so that no other part of the server answers it. */
  placeOf(request: EdgeRequest): Place | "none" | undefined {
    return this.#options.parseHost(hostOf(request));
  }

  /** Answers a request. Never throws: whatever happens is the answer. */
  async serve(place: Place | "none", request: EdgeRequest, response: EdgeResponse): Promise<void> {
    const gone = new AbortController();
    onDeparture(response, () =>
      gone.abort(new Fault(ErrorReason.CANCELLED, "the visitor has gone")),
    );
    const cut = (why: Fault) => gone.abort(why);
    try {
      const visit = this.#read("http", place, request);
      const pass = await this.#admit("http", visit);
      using _ = this.#connections.enter(pass, cut);
      try {
        await this.#serve(visit, pass, request, response, gone.signal);
      } catch (error) {
        if (!response.destroyed) this.#options.usage.fail(pass.id, reasonName(error));
        throw error;
      }
    } catch (error) {
      if (!response.destroyed) answerFailure(request, response, error, this.#options.onDefect);
    }
  }

  /** Answers a request to upgrade to a WebSocket. Never throws. */
  async upgrade(
    place: Place | "none",
    request: EdgeRequest,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> {
    // Told by its end, whatever of its life it breaks in.
    socket.on("error", () => undefined);
    try {
      const visit = this.#read("websocket", place, request);
      const pass = await this.#admit("websocket", visit);
      const stack = new DisposableStack();
      stack.use(this.#connections.enter(pass, () => socket.destroy()));
      try {
        await this.#upgrade(visit, pass, request, socket, head, stack);
      } catch (error) {
        stack.dispose();
        this.#options.usage.fail(pass.id, reasonName(error));
        throw error;
      }
    } catch (error) {
      if (!socket.destroyed) refuseUpgrade(request, socket, error, this.#options.onDefect);
    }
  }

  async #serve(
    visit: PreviewVisit,
    pass: Pass,
    request: EdgeRequest,
    response: EdgeResponse,
    signal: AbortSignal,
  ): Promise<void> {
    const { secure, signCookie, use, usage } = this.#options;
    this.#checkStillGood(pass);
    if (visit.family === "url" && isNavigation(request.method, request.headers)) {
      usage.begin(pass.id, "http");
      response.statusCode = 302;
      response.setHeader("location", `${visit.origin}${visit.target}`);
      response.setHeader("set-cookie", previewCookie(secure, signCookie(pass), pass.expiresAt));
      response.setHeader("cache-control", "no-store");
      response.setHeader("referrer-policy", "no-referrer");
      response.end();
      return;
    }
    const machine = await this.#route(visit, request, signal);
    this.#checkStillGood(pass);
    using _ = use(machine.id);
    usage.begin(pass.id, "http");
    const count = (bytesIn: number, bytesOut: number) => usage.move(pass.id, bytesIn, bytesOut);
    const guest = this.#guestRequest(visit, machine, request);
    await relayRequest(guest, request, response, count, signal);
  }

  async #upgrade(
    visit: PreviewVisit,
    pass: Pass,
    request: EdgeRequest,
    socket: Duplex,
    head: Buffer,
    stack: DisposableStack,
  ): Promise<void> {
    const { use, usage } = this.#options;
    const gone = new AbortController();
    const onClose = () => gone.abort(new Fault(ErrorReason.CANCELLED, "the visitor has gone"));
    socket.once("close", onClose);
    this.#checkStillGood(pass);
    const machine = await this.#route(visit, request, gone.signal);
    this.#checkStillGood(pass);
    socket.off("close", onClose);
    stack.use(use(machine.id));
    usage.begin(pass.id, "websocket");
    const count = (bytesIn: number, bytesOut: number) => usage.move(pass.id, bytesIn, bytesOut);
    const guest = this.#guestRequest(visit, machine, request);
    guest.headers["connection"] = "Upgrade";
    guest.headers["upgrade"] = "websocket";
    await relayWebsocket(guest, socket, head, count, () => stack.dispose());
  }

  #read(transport: Transport, place: Place | "none", request: EdgeRequest): PreviewVisit {
    const { parseHost, secure, stopping } = this.#options;
    stopping.throwIfAborted();
    if (place === "none") throw noPreview();
    const host = hostOf(request) ?? "";
    const origin = `${secure ? "https" : "http"}://${host.toLowerCase()}`;
    const isSibling = (other: string) => {
      const found = parseHost(other);
      return typeof found === "object" && found.machineId === place.machineId;
    };
    const own = { origin, isSibling, secure };
    const visit = readVisit(transport, request.url ?? "/", request.headers, own);
    const family = visit.tokens[0]?.family ?? "url";
    return { ...visit, ...place, transport, family, host, origin };
  }

  /** What the first of the tokens that is good lets in. */
  async #admit(transport: Transport, visit: PreviewVisit): Promise<Pass> {
    const { admit } = this.#options;
    const { machineId, port } = visit;
    let refusal: unknown;
    for (const token of visit.tokens.slice(0, MOST_TOKENS)) {
      // A cookie is the page's; its own origin has been checked where it opens a WebSocket.
      const asked = token.family === "cookie" ? "http" : transport;
      try {
        const pass = await admit(token, { machineId, port, transport: asked });
        if (!pass.transports.includes(transport)) throw wrongTransport();
        return pass;
      } catch (error) {
        refusal ??= error;
      }
    }
    throw refusal;
  }

  async #route(
    visit: PreviewVisit,
    request: EdgeRequest,
    signal: AbortSignal,
  ): Promise<Destination> {
    const { route, isTrafficToken } = this.#options;
    const machine = await route(visit.machineId, signal);
    const { allowPublicTraffic, trafficId } = machine.previews;
    if (allowPublicTraffic) return machine;
    const given = request.headers[TRAFFIC_ACCESS_TOKEN_HEADER];
    if (typeof given === "string" && isTrafficToken(given, trafficId)) return machine;
    throw new Fault(
      ErrorReason.TRAFFIC_TOKEN_REQUIRED,
      "this machine needs its traffic access token for each request",
      { remedy: `Send it in the header ${TRAFFIC_ACCESS_TOKEN_HEADER}.` },
    );
  }

  #guestRequest(visit: PreviewVisit, machine: Destination, request: EdgeRequest): GuestRequest {
    const { secure } = this.#options;
    const mask = machine.previews.maskRequestHost.replaceAll("${PORT}", String(visit.port));
    return {
      agent: this.#agent,
      machineId: machine.id,
      port: visit.port,
      method: request.method ?? "GET",
      target: visit.target,
      headers: previewHeadersForGuest(request.headers, {
        host: visit.host,
        secure: secure || request.socket instanceof TLSSocket,
        address: request.socket.remoteAddress,
        byProxy: visit.family === "proxy",
        guestHost: mask === "" ? visit.host : mask,
      }),
    };
  }

  /** Between its admission and its entry a grant may have been revoked. */
  #checkStillGood(pass: Pass): void {
    if (this.#options.isRevoked(pass.id)) throw revoked();
  }
}

/** More cookies of our name than any browser of a friend would send. */
const MOST_TOKENS = 8;

interface PreviewVisit extends Visit, Place {
  readonly transport: Transport;
  readonly family: FoundToken["family"];
  /** As the visitor named it. */
  readonly host: string;
  readonly origin: string;
}

function hostOf(request: EdgeRequest): string | undefined {
  const authority = request.headers[":authority"];
  return typeof authority === "string" ? authority : request.headers.host;
}

function revoked(): Fault {
  return new Fault(ErrorReason.PREVIEW_REVOKED, "this way into the preview was revoked", {
    remedy: "Ask for a new URL: createSignedPreviewUrl().",
  });
}

function noPreview(): Fault {
  return new Fault(ErrorReason.MACHINE_NOT_FOUND, "this host is no preview's", {
    remedy: "Its name begins with a port and a machine's id, with a hyphen between them.",
  });
}

function wrongTransport(): Fault {
  return new Fault(
    ErrorReason.PREVIEW_TOKEN_INVALID,
    "the grant behind this token is not for this transport",
    { remedy: `Ask for one with the transport; URLs carry it as ${EDGE_TOKEN_PARAMETER}.` },
  );
}
