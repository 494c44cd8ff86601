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
import type { ProjectLimits } from "./domain/project.js";
import { SigningKeys } from "./domain/signing-keys.js";
import { TransferUrls } from "./domain/transfer-urls.js";
import { type AdmittedCall, type AgentCall, AgentProxy } from "./edge/agent-proxy.js";
import type { EdgeRequest, EdgeResponse } from "./edge/exchange.js";
import { Transfers } from "./edge/transfer/transfers.js";
import { ensureOperatorCredentials } from "./home/operator-credentials.js";
import { ServerHome } from "./home/server-home.js";
import { ServerLock } from "./home/server-lock.js";
import { createApp } from "./http/app.js";
import { CONSOLE_PATH, ConsoleFiles } from "./http/console-files.js";
import { Listener, type RequestHandler } from "./http/listener.js";
import { answerText } from "./http/plain-answers.js";
import { rpcName } from "./rpc/rpc-name.js";
import { apiOptions } from "./rpc/routes.js";
import { SqlAuditStore } from "./store/audit.js";
import { openDatabase } from "./store/database.js";
import { SqlEventStore } from "./store/events.js";
import { SqlKeyStore } from "./store/keys.js";
import { SqlMachineStore } from "./store/machines.js";
import { SqlProjectStore } from "./store/projects.js";
import { SqlSnapshotStore } from "./store/snapshots.js";

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
  const listener = await Listener.open({
    host: options.host,
    port: options.port,
    onRequest: (request, response) => app(request, response),
  });
  stack.defer(() => listener.close(0));
  const url = urlOf(options.host, listener.port);

  const location = options.databaseUrl ?? (await home.databaseFile());
  const onIdleError = (err: Error) => log.warn({ err }, "a database connection broke");
  const database = await openDatabase(location, onIdleError);
  stack.defer(() => database.destroy());
  const host = stack.use(await options.openHost(home.path));
  const onDefect = (err: unknown) => log.error({ err }, "defect");
  const controlPlane = stack.use(
    new ControlPlane({
      hostId: await home.hostId(),
      host: hostClient(host, onDefect),
      machineStore: new SqlMachineStore(database),
      snapshotStore: new SqlSnapshotStore(database),
      eventStore: new SqlEventStore(database),
      keyStore: new SqlKeyStore(database),
      projectStore: new SqlProjectStore(database),
      auditStore: new SqlAuditStore(database),
      projectLimits: options.projectLimits,
      keepAuditMs: options.keepAuditMs,
      capacity: options.capacity,
      keepEndedMs: options.keepEndedMs,
      eagerTemplate: "base",
      log,
    }),
  );
  await controlPlane.start();
  const apiKey = await ensureOperatorCredentials(home.credentialsFile, controlPlane.keys, url);

  const signingKeys = await SigningKeys.open(home.signingKeys);
  const transferUrls = new TransferUrls(signingKeys);
  const stopping = new AbortController();
  app = createApp({
    api: apiOptions({
      controlPlane,
      transferUrls,
      signingKeys,
      stopping: stopping.signal,
      onDefect,
    }),
    proxy: new AgentProxy({
      admit: async (call) => admit(controlPlane, call),
      use: (machineId) => controlPlane.activity.begin(machineId),
      connectAgent: (machineId, signal) => host.connectAgent(machineId, signal),
      stopping: stopping.signal,
      onDefect,
    }),
    transfers: new Transfers({
      admit: async (transferUrl) => {
        const grant = transferUrls.verify(transferUrl);
        await controlPlane.machines.getRunning(grant.machineId);
        return grant;
      },
      use: (machineId) => controlPlane.activity.begin(machineId),
      connectAgent: (machineId, signal) => host.connectAgent(machineId, signal),
      stopping: stopping.signal,
      onDefect,
    }),
    console: await ConsoleFiles.load(consoleDirectory()),
    stopping: stopping.signal,
    log,
  });
  log.info({ url, home: home.path, pid: process.pid }, "ready");

  const running = stack.move();
  return {
    url,
    apiKey,
    consoleUrl: `${url}${CONSOLE_PATH}`,
    async [Symbol.asyncDispose]() {
      log.info({ graceMs: options.graceMs }, "stopping");
      stopping.abort(serverStopping());
      await listener.close(options.graceMs);
      await running.disposeAsync();
      log.info({}, "stopped; its machines go on");
    },
  };
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
