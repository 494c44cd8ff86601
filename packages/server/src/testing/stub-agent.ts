import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type ServerHttp2Session,
} from "node:http2";
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ErrorReason } from "@nullspace/proto";
import {
  FileInfoSchema,
  FileService,
  GitService,
  OutputStream,
  ProcessEventSchema,
  ProcessService,
  PtyService,
  SshdService,
} from "@nullspace/proto/agent";
import { Fault, faultInterceptor } from "@nullspace/proto/fault";

/** A public key as OpenSSH writes one. */
export const SSH_PUBLIC_KEY =
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIVnJdXs2vNVvIUvK6C7K2NAXCl9AbUIgPAXxY2DlHhu";

/** One call that reached the agent. */
export interface AgentCall {
  readonly method: string;
  readonly headers: Headers;
  /** Fulfilled with the reason when the call is aborted. */
  readonly aborted: Promise<unknown>;
}

/** Does not shrink when it is compressed. */
const PART = randomBytes(64 << 10);

/**
 * A small agent on a Unix socket that answers a few commands without running
 * anything: `echo WORD`, `hang`, `flood` (output without end), `fault`, `deadline`.
 */
export class StubAgent implements AsyncDisposable {
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #server;
  readonly path: string;
  readonly calls: AgentCall[] = [];
  /** Bytes of file parts received. */
  received = 0;
  /** Bytes of flooded output that were asked for. */
  produced = 0;

  private constructor(path: string) {
    this.path = path;
    this.#server = createServer(
      { settings: { initialWindowSize: 1 << 20 } },
      connectNodeAdapter({
        routes: (router) => this.#routes(router),
        interceptors: [faultInterceptor(() => undefined)],
      }),
    );
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
      session.on("error", () => undefined);
    });
    this.#server.on("sessionError", () => undefined);
  }

  /** Starts an agent on a Unix socket. */
  static async listen(path: string): Promise<StubAgent> {
    const agent = new StubAgent(path);
    agent.#server.listen(path);
    await once(agent.#server, "listening");
    return agent;
  }

  /** Connects to an agent as a host does. */
  static async dial(path: string): Promise<ClientHttp2Session> {
    const session = connect("http://agent", { path, settings: { initialWindowSize: 1 << 20 } });
    session.on("error", () => undefined);
    await once(session, "connect");
    return session;
  }

  /** Ends all connections, as a machine does that dies. */
  cut(): void {
    for (const session of this.#sessions) session.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  #note(method: string, headers: Headers, signal: AbortSignal): void {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    signal.addEventListener("abort", () => resolve(signal.reason));
    this.calls.push({ method, headers, aborted: promise });
  }

  async *#flood(signal: AbortSignal) {
    while (!signal.aborted) {
      this.produced += PART.length;
      yield { event: output(PART) };
    }
  }

  #routes(router: ConnectRouter): void {
    const note = this.#note.bind(this);
    // oxlint-disable-next-line typescript/no-this-alias -- Generators below are no arrow functions.
    const agent = this;
    router.service(ProcessService, {
      async *start({ command }, { requestHeader, signal }) {
        note("start", requestHeader, signal);
        yield { event: started() };
        const [verb, word = ""] = command.split(" ");
        if (verb === "fault") {
          throw new Fault(ErrorReason.PROCESS_START_FAILED, "no such program");
        }
        if (verb === "hang") {
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          return;
        }
        if (verb === "flood") yield* agent.#flood(signal);
        yield { event: output(Buffer.from(word)) };
      },
      list(_request, { requestHeader, signal }) {
        note("list", requestHeader, signal);
        return { processes: [{ pid: 42, command: "sleep" }] };
      },
      sendSignal() {
        throw new Fault(ErrorReason.PROCESS_NOT_FOUND, "no process 42", { remedy: "List them." });
      },
    });
    router.service(PtyService, {
      list: () => ({ sessions: [{ sessionId: "pty_1" }] }),
    });
    router.service(SshdService, { prepare: () => ({ hostKey: SSH_PUBLIC_KEY }) });
    router.service(GitService, {
      status() {
        throw new Fault(ErrorReason.GIT_NOT_A_REPOSITORY, "git status failed");
      },
    });
    router.service(FileService, {
      uploadPart({ data }) {
        agent.received += data.length;
        return {};
      },
      stat({ path }) {
        return { info: create(FileInfoSchema, { path, size: 3n }) };
      },
    });
  }
}

function started() {
  return create(ProcessEventSchema, { event: { case: "started", value: { pid: 42 } } });
}

function output(data: Uint8Array) {
  return create(ProcessEventSchema, {
    event: { case: "output", value: { stream: OutputStream.STDOUT, data } },
  });
}
