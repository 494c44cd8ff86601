import type { ClientHttp2Session } from "node:http2";
import { isIPv6 } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import { ErrorReason, isAudited, scopeOf } from "@nullspace/proto";
import { Fault, faultInterceptor } from "@nullspace/proto/fault";
import { HostService } from "@nullspace/proto/host";
import type { CapacityLimits } from "./domain/capacity.js";
import { ControlPlane } from "./domain/control-plane.js";
import type { HostClient } from "./domain/host.js";
import type { Log } from "./domain/log.js";
import { SshAccesses } from "./domain/ssh/accesses.js";
import type { ProjectLimits } from "./domain/project.js";
import { SigningKeys } from "./domain/signing-keys.js";
import { parsePreviewHost, parsePreviewSite, type PreviewSite } from "./domain/preview-address.js";
import { routeToMachine } from "./domain/preview-route.js";
import { PreviewTokens } from "./domain/preview-tokens.js";
import { TransferUrls } from "./domain/transfer-urls.js";
import { type AdmittedCall, type AgentCall, AgentProxy } from "./edge/agent-proxy.js";
import type { EdgeRequest, EdgeResponse } from "./edge/exchange.js";
import { PreviewEdge } from "./edge/preview/preview-edge.js";
import { Probe } from "./edge/preview/probe.js";
import { GuestSshds } from "./edge/ssh/guest-sshds.js";
import { SshRelay } from "./edge/ssh/relay.js";
import { Transfers } from "./edge/transfer/transfers.js";
import { openTunnel } from "./edge/tunnel/port-tunnel.js";
import { ensureOperatorCredentials } from "./home/operator-credentials.js";
import { ServerHome } from "./home/server-home.js";
import { ServerLock } from "./home/server-lock.js";
import { OpensshAuthority } from "./home/ssh-authority.js";
import { createApp } from "./http/app.js";
import { CONSOLE_PATH, ConsoleFiles } from "./http/console-files.js";
import {
  type Certificate,
  Listener,
  type RequestHandler,
  type UpgradeHandler,
} from "./http/listener.js";
import { answerText } from "./http/plain-answers.js";
import { createUpgrades } from "./http/upgrades.js";
import { rpcName } from "./rpc/rpc-name.js";
import { apiOptions } from "./rpc/routes.js";
import { SqlAuditStore } from "./store/audit.js";
import { StartError } from "./start-error.js";
import { openDatabase } from "./store/database.js";
import { SqlEventStore } from "./store/events.js";
import { SqlKeyStore } from "./store/keys.js";
import { SqlMachineStore } from "./store/machines.js";
import { SqlProjectStore } from "./store/projects.js";
import { SqlPreviewStore } from "./store/previews.js";
import { SqlSnapshotStore } from "./store/snapshots.js";
import { SqlSshAccessStore } from "./store/ssh-accesses.js";
import { NO_RESERVE, SpaceReserve } from "./store/space-reserve.js";

/** Where sshd listens in a machine, and nothing else of what listens there. */
const LOOPBACK = "127.0.0.1";

/** What a server needs of the host that runs its machines. */
export interface Host extends AsyncDisposable {
  readonly service: ServiceImpl<typeof HostService>;
  /** The one live HTTP/2 session to a machine's agent. */
  connectAgent(machineId: string, signal?: AbortSignal): Promise<ClientHttp2Session>;
}

/** How a server is set up. */
export interface ServerOptions {
  /** Folder of everything that it keeps. */
  readonly home: string;
  /** Address to listen on. */
  readonly host: string;
  /** 0 for any port that is free. */
  readonly port: number;
  /** A `postgres://` URL; `nullspace.db` in the home when `undefined`. */
  readonly databaseUrl: string | undefined;
  readonly capacity: CapacityLimits;
  /** Limits of projects that have none of their own. */
  readonly projectLimits: ProjectLimits;
  /** How long the record of an ended machine is kept, in milliseconds. */
  readonly keepEndedMs: number;
  /** How long the audit trail is kept, in milliseconds. */
  readonly keepAuditMs: number;
  /** How long calls in progress may take to finish when it stops, in milliseconds. */
  readonly graceMs: number;
  /** Domain of previews, or a URL where a proxy stands before the server; see `parsePreviewSite`. */
  readonly previewDomain: string;
  /** The server speaks TLS, besides, when there is one. */
  readonly certificate: Certificate | undefined;
  readonly log: Log;
  readonly openHost: (home: string) => Promise<Host>;
}

/** A server that is ready. Disposing stops it and leaves its machines running. */
export interface Server extends AsyncDisposable {
  readonly url: string;
  readonly consoleUrl: string;
  /** The local operator's key. */
  readonly apiKey: string;
}

/**
 * Starts a server: takes the home and the port, opens database and host, takes
 * over the machines that run already, and answers calls from then on.
 *
 * @throws StartError or Fault, each with a remedy.
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { log } = options;
  await using stack = new AsyncDisposableStack();
  const home = await ServerHome.open(options.home);
  stack.use(ServerLock.acquire(home.path));

  // Before the slow parts: a port that is taken should be known at once.
  let app: RequestHandler = answerStarting;
  let upgrades: UpgradeHandler | undefined;
  const listener = await Listener.open({
    host: options.host,
    port: options.port,
    onRequest: (request, response) => app(request, response),
    upgrades: {
      wants: (request) => upgrades?.wants(request) ?? false,
      take: (request, socket, head) => upgrades?.take(request, socket, head),
      connect(request, socket, head) {
        if (upgrades === undefined) socket.destroy();
        else upgrades.connect(request, socket, head);
      },
    },
    certificate: options.certificate,
  });
  stack.defer(() => listener.close(0));
  const url = urlOf(options.host, listener.port);
  const previewSite = previewSiteOf(options, listener.port);

  const location = options.databaseUrl ?? (await home.databaseFile());
  const onIdleError = (err: Error) => log.warn({ err }, "a database connection broke");
  const database = await openDatabase(location, onIdleError);
  stack.defer(() => database.destroy());
  const reserve =
    options.databaseUrl === undefined ? await SpaceReserve.open(home.reserveFile) : NO_RESERVE;
  const host = stack.use(await options.openHost(home.path));
  const onDefect = (err: unknown) => log.error({ err }, "defect");
  const signingKeys = await SigningKeys.open(home.signingKeys);
  const previewTokens = new PreviewTokens(signingKeys, await home.trafficKey());
  const sshAccessStore = new SqlSshAccessStore(database);
  const controlPlane = stack.use(
    new ControlPlane({
      hostId: await home.hostId(),
      host: hostClient(host, onDefect),
      machineStore: new SqlMachineStore(database, reserve),
      snapshotStore: new SqlSnapshotStore(database, reserve),
      eventStore: new SqlEventStore(database),
      keyStore: new SqlKeyStore(database),
      projectStore: new SqlProjectStore(database),
      auditStore: new SqlAuditStore(database),
      projectLimits: options.projectLimits,
      keepAuditMs: options.keepAuditMs,
      previewStore: new SqlPreviewStore(database),
      previewTokens,
      sshAccessStore,
      capacity: options.capacity,
      keepEndedMs: options.keepEndedMs,
      eagerTemplate: "base",
      log,
    }),
  );
  await controlPlane.start();
  const apiKey = await ensureOperatorCredentials(home.credentialsFile, controlPlane.keys, url);

  const transferUrls = new TransferUrls(signingKeys);
  const stopping = new AbortController();
  const connectAgent = (machineId: string, signal: AbortSignal) =>
    host.connectAgent(machineId, signal);
  const use = (machineId: string) => controlPlane.activity.begin(machineId);
  const requireTls = options.certificate !== undefined;
  const { previews } = controlPlane;
  const previewEdge = new PreviewEdge({
    parseHost: (name) => parsePreviewHost(previewSite, name),
    secure: previewSite.secure,
    admit: (token, door) => previews.admit(token, door),
    isRevoked: (grantId) => previews.isRevoked(grantId),
    onRevoked: (callback) => previews.onRevoked(callback),
    signCookie: (pass) => previewTokens.sign("cookie", "http", pass),
    isTrafficToken: (token, trafficId) => previewTokens.isTraffic(token, trafficId),
    route: (machineId, signal) => routeToMachine(controlPlane, machineId, signal, stopping.signal),
    use,
    usage: previews.usage,
    connectAgent,
    stopping: stopping.signal,
    onDefect,
  });
  const authority = new OpensshAuthority(home.sshAuthorityFile);
  // Made now, while nobody waits for it. If that fails, whoever wants access is told.
  await authority.publicKey().catch((err: unknown) => log.warn({ err }, "SSH is not available"));
  const sshAccesses = new SshAccesses({
    machines: controlPlane.machines,
    machinesOf: (projectId) => controlPlane.machinesOf({ projectId }),
    store: sshAccessStore,
    authority,
    sshds: new GuestSshds(connectAgent),
    connections: controlPlane.sshConnections,
    onEvent: () => controlPlane.events.notify(),
  });
  const sshRelay = stack.use(
    new SshRelay({
      admit: (token, machineId, signal) => sshAccesses.admit(token, machineId, signal),
      dial: async (machineId, port, signal) =>
        openTunnel(await connectAgent(machineId, signal), { port, host: LOOPBACK }, signal),
      stopping: stopping.signal,
      onDefect,
    }),
  );
  app = createApp({
    api: apiOptions({
      controlPlane,
      transferUrls,
      sshAccesses,
      signingKeys,
      previewTokens,
      previewSite,
      previewProbe: new Probe(connectAgent),
      stopping: stopping.signal,
      onDefect,
    }),
    proxy: new AgentProxy({
      admit: async (call) => admit(controlPlane, call),
      use,
      connectAgent,
      stopping: stopping.signal,
      onDefect,
    }),
    transfers: new Transfers({
      admit: async (transferUrl) => {
        const grant = transferUrls.verify(transferUrl);
        await controlPlane.machines.getRunning(grant.machineId);
        return grant;
      },
      use,
      connectAgent,
      stopping: stopping.signal,
      onDefect,
    }),
    previews: previewEdge,
    requireTls,
    console: await ConsoleFiles.load(consoleDirectory()),
    stopping: stopping.signal,
    log,
  });
  upgrades = createUpgrades({ previews: previewEdge, sshRelay, requireTls });
  log.info({ url, home: home.path, pid: process.pid }, "ready");

  const running = stack.move();
  return {
    url,
    apiKey,
    consoleUrl: `${url}${CONSOLE_PATH}`,
    async [Symbol.asyncDispose]() {
      log.info({ graceMs: options.graceMs }, "stopping");
      controlPlane.sshConnections[Symbol.dispose]();
      stopping.abort(serverStopping());
      await listener.close(options.graceMs);
      await running.disposeAsync();
      log.info({}, "stopped; its machines go on");
    },
  };
}

/** Where previews are. @throws StartError for what names no place. */
function previewSiteOf(options: ServerOptions, port: number): PreviewSite {
  const secure = options.certificate !== undefined;
  const site = parsePreviewSite(options.previewDomain, { secure, port });
  if (site !== undefined) return site;
  throw new StartError(`${JSON.stringify(options.previewDomain)} is no domain for previews`, {
    remedy: 'Give --preview-domain a domain, or a URL such as "https://preview.example.com".',
  });
}

/** While the server starts: alive, but not ready. Clients of every protocol take 503 for "unavailable". */
function answerStarting(request: EdgeRequest, response: EdgeResponse): void {
  if (request.url === "/healthz") answerText(response, 200, "ok\n");
  else {
    response.setHeader("retry-after", "1");
    answerText(response, 503, "starting\n");
  }
}

function hostClient(host: Host, onDefect: (error: unknown) => void): HostClient {
  const transport = createRouterTransport((router) => router.service(HostService, host.service), {
    router: { interceptors: [faultInterceptor(onDefect)] },
  });
  return createClient(HostService, transport);
}

/** Lets a call pass to a machine's agent, if it is for a machine that its caller can reach. */
async function admit(
  controlPlane: ControlPlane,
  { method, machineId, authorization, requestId }: AgentCall,
): Promise<AdmittedCall> {
  const rpc = rpcName(method);
  const caller = await controlPlane.gate.admit({
    authorization,
    rpc,
    scope: scopeOf(method),
    requestId,
  });
  await controlPlane.machinesOf(caller).getRunning(machineId);
  return {
    async note() {
      if (!isAudited(method)) return;
      await controlPlane.audit.note(caller, {
        rpc,
        objectId: machineId,
        outcome: "forwarded",
        requestId,
      });
    },
  };
}

function serverStopping(): Fault {
  return new Fault(ErrorReason.SERVER_NOT_READY, "the server is stopping", {
    remedy: "Make the call again when the server is back; machines go on meanwhile.",
  });
}

/** Listening everywhere, the server is still reached best by the loopback address. */
function urlOf(host: string, port: number): string {
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${isIPv6(name) ? `[${name}]` : name}:${port}`;
}

function consoleDirectory(): string {
  return join(dirname(fileURLToPath(import.meta.resolve("@nullspace/web/package.json"))), "dist");
}
