import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Interceptor, Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { keepLog } from "@nullspace/log-scan";
import { MACHINE_ID_HEADER } from "@nullspace/proto";
import { openLog } from "../log.js";
import { type Server, type ServerOptions, startServer } from "../server.js";
import { FakeHost } from "./fake-host.js";

/** A server over a fake host, in a home that goes with it. */
export interface TestServer extends Server {
  readonly fakeHost: FakeHost;
  readonly home: string;
}

/** Starts a server on a free port. */
export async function startTestServer(options: Partial<ServerOptions> = {}): Promise<TestServer> {
  const home = mkdtempSync(join(tmpdir(), "server-"));
  const fakeHost = new FakeHost();
  const server = await startServer({
    home,
    host: "127.0.0.1",
    port: 0,
    databaseUrl: undefined,
    capacity: { maxMachines: 100, maxMemoryMb: 65_536 },
    projectLimits: {},
    keepEndedMs: 1000,
    keepAuditMs: 60_000,
    graceMs: 2000,
    // Read by nobody but the scan at the end of the run.
    log: openLog("debug", { write: (line) => keepLog("server", line) }),
    previewDomain: "localhost",
    certificate: undefined,
    openHost: async () => ({
      service: fakeHost.service,
      connectAgent: (machineId) => fakeHost.connectAgent(machineId),
      [Symbol.asyncDispose]: () => fakeHost.hangUp(),
    }),
    ...options,
  });
  return {
    ...server,
    fakeHost,
    home,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await fakeHost[Symbol.asyncDispose]();
      rmSync(home, { recursive: true });
    },
  };
}

interface TransportOptions {
  baseUrl: string;
  interceptors: Interceptor[];
}

const TRANSPORTS = {
  "Connect over HTTP/1.1": (options: TransportOptions) =>
    createConnectTransport({ ...options, httpVersion: "1.1" }),
  "Connect over HTTP/2": (options: TransportOptions) =>
    createConnectTransport({ ...options, httpVersion: "2" }),
  "gRPC over HTTP/2": createGrpcTransport,
  "gRPC-Web over HTTP/1.1": (options: TransportOptions) =>
    createGrpcWebTransport({ ...options, httpVersion: "1.1" }),
  "gRPC-Web over HTTP/2": (options: TransportOptions) =>
    createGrpcWebTransport({ ...options, httpVersion: "2" }),
} satisfies Record<string, (options: TransportOptions) => Transport>;

/** One way in which our own clients may talk to a server. */
export type ProtocolName = keyof typeof TRANSPORTS;

/** All of them. */
export const PROTOCOLS: readonly ProtocolName[] = [
  "Connect over HTTP/1.1",
  "Connect over HTTP/2",
  "gRPC over HTTP/2",
  "gRPC-Web over HTTP/1.1",
  "gRPC-Web over HTTP/2",
];

/** A transport that carries a key, and a machine's id where one is given. */
export function transportTo(
  url: string,
  protocol: ProtocolName,
  apiKey: string,
  machineId?: string,
): Transport {
  const addHeaders: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${apiKey}`);
    if (machineId !== undefined) request.header.set(MACHINE_ID_HEADER, machineId);
    return next(request);
  };
  return TRANSPORTS[protocol]({ baseUrl: url, interceptors: [addHeaders] });
}
