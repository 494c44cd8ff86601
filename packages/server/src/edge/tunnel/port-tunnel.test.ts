import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { Readable, type Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { RealAgent } from "../../testing/real-agent.js";
import { openTunnel } from "./port-tunnel.js";

let agent: RealAgent;
const closing: { close: () => unknown }[] = [];
const never = new AbortController().signal;

beforeAll(async () => {
  agent = await RealAgent.start();
});
afterAll(async () => agent[Symbol.asyncDispose]());
afterEach(() => {
  for (const thing of closing.splice(0).toReversed()) thing.close();
});

async function portOf(server: Server | ReturnType<typeof createHttp2Server>): Promise<number> {
  closing.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const place = server.address();
  if (place === null || typeof place === "string") throw new Error("no port");
  return place.port;
}

/** A service of this computer, which is the agent's machine. */
async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  return portOf(
    createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      onConnection(socket);
    }),
  );
}

async function open(port: number): Promise<Duplex> {
  return openTunnel(agent.session, { port }, never);
}

async function reasonOf(failing: Promise<unknown>): Promise<string> {
  const error: unknown = await failing.then(
    () => new Error("nothing failed"),
    (failure: unknown) => failure,
  );
  return error instanceof Fault ? ErrorReason[error.reason] : String(error);
}

async function failureOf(tunnel: Duplex): Promise<string> {
  return reasonOf(once(tunnel, "close").then(() => Promise.reject(tunnel.errored ?? undefined)));
}

/** What comes from a tunnel, whose other half stays open. */
function bytesOf(tunnel: Duplex): AsyncIterable<Buffer> {
  return tunnel.iterator({ destroyOnReturn: false });
}

describe("a tunnel", () => {
  test("carries 32 MiB each way, unchanged", async () => {
    const port = await listen((socket) => socket.pipe(socket));
    const tunnel = await open(port);
    const part = randomBytes(1 << 20);
    const sent = createHash("sha256");
    const source = Readable.from(
      (function* () {
        for (let i = 0; i < 32; i++) {
          part.writeUInt32BE(i);
          sent.update(part);
          yield Buffer.from(part);
        }
      })(),
    );
    const received = createHash("sha256");
    await Promise.all([
      pipeline(source, tunnel, { end: true }),
      (async () => {
        for await (const data of bytesOf(tunnel)) received.update(data);
      })(),
    ]);
    expect(received.digest("hex")).toBe(sent.digest("hex"));
  });

  test("ends each half by itself, whichever is first", async () => {
    const received = Promise.withResolvers<string>();
    const answering = await open(
      await listen((socket) => void text(socket).then((all) => socket.end(`got ${all}`))),
    );
    answering.end("all");
    expect(await text(answering)).toBe("got all");
    const telling = await open(
      await listen((socket) => {
        socket.end("bye");
        void text(socket).then(received.resolve);
      }),
    );
    expect((await buffer(bytesOf(telling))).toString()).toBe("bye");
    telling.end("late");
    expect(await received.promise).toBe("late");
  });

  test("tells that nothing listens", async () => {
    const server = createServer();
    const port = await portOf(server);
    server.close();
    expect(await reasonOf(open(port))).toBe("PORT_CLOSED");
  });

  test("breaks with the service's connection", async () => {
    const port = await listen((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const tunnel = await open(port);
    tunnel.write("x");
    expect(await failureOf(tunnel)).toBe("PORT_CONNECTION_LOST");
  });

  test("resets the service's connection when it is destroyed", async () => {
    const code = Promise.withResolvers<unknown>();
    const port = await listen((socket) =>
      socket.resume().on("error", (error: NodeJS.ErrnoException) => code.resolve(error.code)),
    );
    (await open(port)).destroy();
    expect(await code.promise).toBe("ECONNRESET");
  });

  test("is given up by its signal while it opens, and not after", async () => {
    const reason = new Error("enough");
    await expect(openTunnel(agent.session, { port: 1 }, AbortSignal.abort(reason))).rejects.toBe(
      reason,
    );
    const late = new AbortController();
    const port = await listen((socket) => socket.pipe(socket));
    const tunnel = await openTunnel(agent.session, { port }, late.signal);
    late.abort();
    tunnel.end("still there");
    expect(await text(tunnel)).toBe("still there");
  });

  test("takes no more from its writer than the service reads", async () => {
    const port = await listen((socket) => socket.pause());
    const tunnel = await open(port);
    const block = Buffer.alloc(64 << 10);
    let taken = 0;
    const stalled = Promise.withResolvers<void>();
    let quiet: NodeJS.Timeout | undefined;
    const put = () => {
      clearTimeout(quiet);
      // As much as the windows and the sockets' buffers hold; and no more for a while.
      quiet = setTimeout(stalled.resolve, 300);
      tunnel.write(block, (error) => {
        if (error) return;
        taken += block.length;
        put();
      });
    };
    put();
    await stalled.promise;
    expect(taken).toBeLessThan(16 << 20);
    tunnel.destroy();
  });
});

/** A session with an agent that answers each call as it likes. */
async function lyingSession(answer: (stream: ServerHttp2Stream) => void) {
  const server = createHttp2Server();
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    answer(stream);
  });
  server.on("sessionError", () => undefined);
  const client = connect(`http://127.0.0.1:${await portOf(server)}`);
  client.on("error", () => undefined);
  closing.push({ close: () => client.destroy() });
  return client;
}

describe("of an agent that lies", () => {
  const ok = { ":status": 200, "content-type": "application/connect+proto" };
  const OPENED = Buffer.from([0, 0, 0, 0, 2, 0x0a, 0]);
  const HALF = Buffer.from([0, 0, 0, 0, 2, 0x1a, 0]);

  test.each<[string, (stream: ServerHttp2Stream) => void]>([
    ["another status", (stream) => stream.respond({ ":status": 404 }, { endStream: true })],
    ["another type", (stream) => stream.respond({ ":status": 200, "content-type": "text/html" })],
    [
      "a length of 4 GiB",
      (stream) => {
        stream.respond(ok);
        stream.write(Buffer.from([0, 255, 255, 255, 255]));
      },
    ],
    [
      "what is no message",
      (stream) => {
        stream.respond(ok);
        stream.write(Buffer.from([0, 0, 0, 0, 2, 0xff, 0xff]));
      },
    ],
    [
      "a message that holds nothing",
      (stream) => {
        stream.respond(ok);
        stream.write(Buffer.from([0, 0, 0, 0, 0]));
      },
    ],
    [
      "an end that is no JSON",
      (stream) => {
        stream.respond(ok);
        stream.end(Buffer.from([2, 0, 0, 0, 1, 0x7b]));
      },
    ],
    [
      "an end at once",
      (stream) => {
        stream.respond(ok);
        stream.end(Buffer.from([2, 0, 0, 0, 2, 0x7b, 0x7d]));
      },
    ],
    ["a reset", (stream) => stream.close(2)],
  ])("refuses %s", async (_, answer) => {
    const lying = await lyingSession(answer);
    expect(await reasonOf(openTunnel(lying, { port: 80 }, never))).toBe("AGENT_UNREACHABLE");
  });

  test("takes messages in pieces of any size, and nothing after the end", async () => {
    const lying = await lyingSession((stream) => {
      stream.respond(ok);
      stream.write(OPENED);
      const data = Buffer.from([0, 0, 0, 0, 5, 0x12, 3, 0x61, 0x62, 0x63]);
      stream.on("data", (request: Buffer) => {
        if (!request.includes("more")) return;
        for (const byte of Buffer.concat([data, data, HALF, data])) {
          stream.write(Buffer.from([byte]));
        }
      });
    });
    const tunnel = await openTunnel(lying, { port: 80 }, never);
    const failure = failureOf(tunnel);
    let got = "";
    tunnel.on("data", (data: Buffer) => (got += data.toString()));
    tunnel.write("more");
    expect(await failure).toBe("AGENT_UNREACHABLE");
    expect(got).toBe("abcabc");
  });

  test("breaks when the session does", async () => {
    const lying = await lyingSession((stream) => {
      stream.respond(ok);
      stream.write(OPENED);
    });
    const tunnel = await openTunnel(lying, { port: 80 }, never);
    const failure = failureOf(tunnel);
    lying.destroy();
    expect(await failure).toBe("AGENT_UNREACHABLE");
    expect(await reasonOf(openTunnel(lying, { port: 80 }, never))).toBe("AGENT_UNREACHABLE");
  });
});
