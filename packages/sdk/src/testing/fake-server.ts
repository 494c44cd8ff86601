import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttp1Server, type Server } from "node:http";
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import type { Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  ErrorReason,
  AuditService,
  EventService,
  KeyService,
  MACHINE_ID_HEADER,
  MachineService,
  ProjectService,
  PreviewService,
  REQUEST_ID_HEADER,
  SnapshotService,
  SshService,
  TransferService,
} from "@nullspace/proto";
import { FileService, GitService, ProcessService, PtyService } from "@nullspace/proto/agent";
import { Fault, faultInterceptor } from "@nullspace/proto/fault";
import { FakeFiles } from "./fake-files.js";
import { FakeGit } from "./fake-git.js";
import { fakeAudit, FakeProjects } from "./fake-accounts.js";
import { FakeKeys } from "./fake-keys.js";
import { FakeMachines } from "./fake-machines.js";
import { FakePreviews } from "./fake-previews.js";
import { FakeProcesses } from "./fake-processes.js";
import { FakePtys } from "./fake-ptys.js";
import { FakeSsh } from "./fake-ssh.js";
import { fakeTransfers } from "./fake-transfers.js";

/** Looks at each call before it is handled; what it throws is the call's answer. */
export type CallHook = (method: string, context: { signal: AbortSignal }) => unknown;

/** How a {@link FakeServer} listens. */
export interface FakeServerOptions {
  http?: "1.1" | "2";
  /** A free one when not given. */
  port?: number;
  /** Answers what is no call of the API. */
  fallback?: Parameters<typeof connectNodeAdapter>[0]["fallback"];
}

/**
 * A server of the whole public API on a real HTTP/2 (or HTTP/1.1) port, with
 * records in memory, processes of this computer and files in a folder of the
 * system's. Everything a client does is real but the virtual machine.
 */
export class FakeServer implements AsyncDisposable {
  readonly apiKey = "ns_fake_0123456789abcdef";
  readonly machines = new FakeMachines();
  readonly keys = new FakeKeys();
  readonly projects = new FakeProjects();
  readonly previews = new FakePreviews();
  readonly processes = new FakeProcesses();
  readonly files = new FakeFiles();
  readonly ptys = new FakePtys();
  readonly git = new FakeGit();
  readonly ssh = new FakeSsh();
  /** Names of the methods that were called, in order. */
  readonly calls: string[] = [];
  onCall: CallHook | undefined;
  /** Called when a call has been handled and its answer is not yet sent. */
  onAnswer: ((method: string) => void) | undefined;
  readonly #server: Server | Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();

  private constructor({ http = "2", fallback }: FakeServerOptions) {
    const handler = connectNodeAdapter({
      ...(fallback && { fallback }),
      interceptors: [this.#answerRequestId, faultInterceptor(reportDefect), this.#check],
      routes: (router) => {
        router.service(MachineService, this.machines);
        router.service(SnapshotService, this.machines.snapshots);
        router.service(EventService, this.machines.events);
        router.service(KeyService, this.keys);
        router.service(ProjectService, this.projects);
        router.service(AuditService, fakeAudit);
        router.service(PreviewService, this.previews);
        router.service(TransferService, fakeTransfers);
        router.service(SshService, this.ssh);
        router.service(ProcessService, this.processes);
        router.service(FileService, this.files);
        router.service(PtyService, this.ptys);
        router.service(GitService, this.git);
      },
    });
    if (http === "1.1") {
      this.#server = createHttp1Server(handler);
      return;
    }
    this.#server = createServer(handler).on("session", (session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
    });
  }

  /** Starts a server on a free port. */
  static async start(options: FakeServerOptions = {}): Promise<FakeServer> {
    const server = new FakeServer(options);
    server.#server.listen(options.port ?? 0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  get port(): number {
    const address = this.#server.address();
    if (!isAddressInfo(address)) throw new Error("the fake server does not listen");
    return address.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Cuts every connection, as a server that is killed does. */
  dropConnections(): void {
    for (const session of this.#sessions) session.destroy();
    if ("closeAllConnections" in this.#server) this.#server.closeAllConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.processes.killAll();
    const closed = once(this.#server, "close");
    this.#server.close();
    this.dropConnections();
    await closed;
    await this.files[Symbol.asyncDispose]();
  }

  readonly #answerRequestId: Interceptor = (next) => async (request) => {
    const id = request.header.get(REQUEST_ID_HEADER) ?? randomUUID();
    try {
      const response = await next(request);
      response.header.set(REQUEST_ID_HEADER, id);
      return response;
    } catch (error) {
      if (error instanceof Error && "metadata" in error && error.metadata instanceof Headers) {
        error.metadata.set(REQUEST_ID_HEADER, id);
      }
      throw error;
    }
  };

  readonly #check: Interceptor = (next) => async (request) => {
    this.calls.push(request.method.name);
    await this.onCall?.(request.method.name, { signal: request.signal });
    if (request.header.get("Authorization") !== `Bearer ${this.apiKey}`) {
      throw new Fault(ErrorReason.INVALID_API_KEY, "the API key is not known", {
        remedy: "Make one with nullspace key create.",
      });
    }
    const machineId = request.header.get(MACHINE_ID_HEADER);
    if (machineId !== null) this.machines.mustRun(machineId);
    const response = await next(request);
    this.onAnswer?.(request.method.name);
    return response;
  };
}

function isAddressInfo(address: string | AddressInfo | null): address is AddressInfo {
  return typeof address === "object" && address !== null;
}

function reportDefect(error: unknown): void {
  throw new Error("the fake server has a defect", { cause: error });
}
