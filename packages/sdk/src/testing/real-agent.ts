import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { Channel, channelProgram, helperProgram, runAgent } from "@nullspace/agent";
import { BOOT_CHANNEL_KEY, MarkerSplitter } from "@nullspace/proto/channel";
import { Commands } from "../commands/commands.js";
import { AgentConnection, Connection } from "../connection.js";
import { Files } from "../files/files.js";

/**
 * The agent that runs in machines, in this process and on this computer, and a
 * server before it that passes calls on, as the real one does.
 */
export class RealAgent implements AsyncDisposable {
  /** A scratch folder, which the agent sees as well. */
  readonly folder: string;
  readonly files: Files;
  readonly commands: Commands;
  /** Names of the methods that were called. */
  readonly calls: string[] = [];
  /** Called for every call; false cuts the client's connection instead, perhaps after a while. */
  admit: (method: string) => boolean | Promise<boolean> = () => true;
  /** Told of bytes that go to the client. */
  onAnswer: (method: string, bytes: number) => void = () => undefined;
  /** Where the server listens. */
  readonly url: string;
  readonly #connection: Connection;
  readonly #upstream: ClientHttp2Session;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #server: Http2Server;
  readonly #stop: () => Promise<void>;

  private constructor(
    folder: string,
    upstream: ClientHttp2Session,
    server: Http2Server,
    stop: () => Promise<void>,
  ) {
    this.folder = folder;
    this.#upstream = upstream;
    this.#server = server;
    this.#stop = stop;
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => undefined).on("close", () => this.#sessions.delete(session));
    });
    this.#server.on("stream", (stream, headers) => this.#relay(stream, headers));
    this.url = urlOf(server.address());
    this.#connection = new Connection({ url: this.url, apiKey: "ns_x_y" });
    const agent = new AgentConnection(this.#connection, "m1");
    this.files = new Files(agent);
    this.commands = new Commands(agent);
  }

  static async start(): Promise<RealAgent> {
    const folder = await mkdtemp(join(tmpdir(), "nullspace-real-"));
    const socketPath = join(folder, "agent.sock");
    const channel = await Channel.open({
      program: channelProgram(),
      port: socketPath,
      folder: join(folder, "channel"),
    });
    const stop = new AbortController();
    const defects: unknown[] = [];
    const running = runAgent(
      {
        channel,
        stateFolder: join(folder, "state"),
        helperProgram: helperProgram(),
        defaultUser: userInfo().username,
        sandboxed: true,
        onDefect: (defect) => defects.push(defect),
      },
      stop.signal,
    );
    const upstream = await openSession(socketPath);
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new RealAgent(folder, upstream, server, async () => {
      stop.abort();
      await running;
      await channel[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
      if (defects.length > 0) throw new AggregateError(defects, "the agent had defects");
    });
  }

  /** Cuts every client's connection, as a network does. */
  cut(): void {
    for (const session of this.#sessions) session.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close();
    this.cut();
    this.#server.close();
    this.#upstream.destroy();
    await this.#stop();
  }

  #relay(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = String(headers[":path"]);
    const method = path.slice(path.lastIndexOf("/") + 1);
    this.calls.push(method);
    stream.on("error", () => undefined);
    const proceed = (isAdmitted: boolean) =>
      isAdmitted ? this.#forward(stream, headers, method) : this.cut();
    const admitted = this.admit(method);
    if (typeof admitted === "boolean") proceed(admitted);
    else void admitted.then(proceed);
  }

  #forward(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, method: string): void {
    const { session } = stream;
    const call = this.#upstream.request({ ...headers, ":authority": "agent" });
    call.on("error", () => stream.destroy());
    stream.pipe(call);
    call.on("response", (answer) => {
      if (stream.destroyed) return;
      stream.respond(answer);
      call.on("data", (data: Buffer) => this.onAnswer(method, data.length));
      call.pipe(stream);
    });
    stream.on("close", () => {
      const lost = session?.destroyed === true;
      call.close(lost ? constants.NGHTTP2_CONNECT_ERROR : constants.NGHTTP2_CANCEL);
    });
  }
}

function urlOf(address: AddressInfo | string | null): string {
  if (address === null || typeof address === "string")
    throw new Error("the server does not listen");
  return `http://127.0.0.1:${address.port}`;
}

async function openSession(path: string): Promise<ClientHttp2Session> {
  const socket = connect(path);
  await once(socket, "connect");
  const nonce = randomBytes(32);
  socket.write(Buffer.concat([BOOT_CHANNEL_KEY, nonce]));
  const splitter = new MarkerSplitter(nonce);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    const { after } = splitter.push(Buffer.from(chunk));
    if (after === undefined) continue;
    socket.pause();
    if (after.length > 0) socket.unshift(after);
    const session = connectHttp2("http://agent", {
      createConnection: () => socket,
      settings: { initialWindowSize: 1 << 20 },
    });
    session.on("error", () => undefined);
    return session;
  }
  throw new Error("the agent hung up");
}
