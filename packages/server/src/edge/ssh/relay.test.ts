import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect, createServer, type Server, Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createWebSocketStream, WebSocket } from "ws";
import { Listener } from "../../http/listener.js";
import { answerText } from "../../http/plain-answers.js";
import { createUpgrades } from "../../http/upgrades.js";
import { relayToken } from "./credentials.js";
import { SshRelay } from "./relay.js";

const TOKEN = "nssh_good";

let listener: Listener;
let relay: SshRelay;
let sshd: Server;
let stopping: AbortController;
let cut: AbortController;
/** What a connection to the machine's sshd finds there. */
let onConnection: (socket: Socket) => void;
const guests: Socket[] = [];
const dialed: string[] = [];
const defects: unknown[] = [];
let ended: PromiseWithResolvers<void>;

beforeEach(async () => {
  stopping = new AbortController();
  cut = new AbortController();
  ended = Promise.withResolvers();
  onConnection = (socket) => socket.pipe(socket);
  sshd = createServer({ allowHalfOpen: true }, (socket) => {
    guests.push(socket.on("error", () => undefined));
    onConnection(socket);
  });
  sshd.listen(0, "127.0.0.1");
  await once(sshd, "listening");
  relay = new SshRelay({
    async admit(token, machineId) {
      if (token === "defect") throw new Error("a secret of ours");
      if (token === "one too many") {
        throw new Fault(ErrorReason.QUOTA_EXCEEDED, "enough is open", {
          remedy: "Close some.",
          retryAfterMs: 30_000,
        });
      }
      if (token !== TOKEN || machineId !== "m1") {
        throw new Fault(ErrorReason.SSH_TOKEN_INVALID, "no good token", { remedy: "Get one." });
      }
      return { signal: cut.signal, [Symbol.asyncDispose]: async () => ended.resolve() };
    },
    async dial(machineId, port) {
      dialed.push(`${machineId}:${port}`);
      const address = sshd.address();
      if (address === null || typeof address === "string") throw new Error("no port");
      const socket = connect({ port: address.port, host: "127.0.0.1", allowHalfOpen: true });
      await once(socket, "connect");
      return socket;
    },
    stopping: stopping.signal,
    onDefect: (error) => defects.push(error),
  });
  listener = await Listener.open({
    host: "127.0.0.1",
    port: 0,
    onRequest: (_, response) => answerText(response, 200, "a request\n"),
    upgrades: createUpgrades({
      previews: {
        placeOf: ({ headers }) => (headers.host === "preview" ? "none" : undefined),
        async upgrade(_place, _request, socket) {
          socket.end("HTTP/1.1 418 A Preview\r\n\r\n");
        },
      },
      sshRelay: relay,
      requireTls: false,
    }),
    certificate: undefined,
  });
});

afterEach(async () => {
  stopping.abort(new Error("the test is over"));
  await relay[Symbol.asyncDispose]();
  await listener.close(0);
  for (const guest of guests.splice(0)) guest.destroy();
  sshd.close();
  defects.splice(0);
  dialed.splice(0);
});

function openWebSocket(path = "/v1/ssh/m1", token = TOKEN, user = "") {
  const url = `ws://${user}127.0.0.1:${listener.port}${path}`;
  const headers = token === "" ? {} : { authorization: `Bearer ${token}` };
  return new WebSocket(url, { headers });
}

async function refusalOf(webSocket: WebSocket) {
  const { promise, resolve } = Promise.withResolvers<IncomingMessage>();
  webSocket.once("unexpected-response", (_, response) => resolve(response));
  const response = await promise;
  return { status: response.statusCode, body: (await buffer(response)).toString() };
}

/** Sends the head of a request and gives the answer's, and the connection. */
async function send(head: string): Promise<{ answer: string; socket: Socket }> {
  const socket = connect({ port: listener.port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => undefined);
  socket.write(head);
  let answer = "";
  while (!answer.includes("\r\n\r\n")) {
    const part: unknown[] = await once(socket, "data");
    answer += String(part[0]);
  }
  return { answer, socket };
}

const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;
const connectTo = (target: string, authorization: string, after = "") =>
  send(
    `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n` +
      `Proxy-Authorization: ${authorization}\r\n\r\n${after}`,
  );

/** Writes much, ends its half and gives what came back. */
async function roundTrip(stream: NodeJS.ReadWriteStream, bytes: Buffer): Promise<Buffer> {
  const received = buffer(stream);
  stream.end(bytes);
  return received;
}

describe("bytes go both ways, unchanged, until both halves have ended", () => {
  const bytes = randomBytes(3_000_000);

  test("over a WebSocket", async () => {
    const onEnd = Promise.withResolvers<void>();
    onConnection = (socket) => {
      socket.pipe(socket);
      socket.once("end", () => onEnd.resolve());
    };
    const stream = createWebSocketStream(openWebSocket());
    const received = Buffer.alloc(bytes.length);
    let count = 0;
    // In messages of a size that OpenSSH's writes have.
    for (let at = 0; at < bytes.length; at += 60_000) stream.write(bytes.subarray(at, at + 60_000));
    for await (const data of stream) {
      if (!(data instanceof Buffer)) throw new Error("no bytes");
      count += data.copy(received, count);
      if (count >= bytes.length) break;
    }
    expect(received.equals(bytes)).toBe(true);
    expect(dialed).toEqual(["m1:22"]);
    await onEnd.promise;
    await ended.promise;
  });

  test("over CONNECT, with what is sent before the answer", async () => {
    const { answer, socket } = await connectTo("m1:22", basic(`any:${TOKEN}`));
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect((await roundTrip(socket, bytes)).equals(bytes)).toBe(true);
    await ended.promise;

    onConnection = (guest) => guest.once("data", (data) => guest.end(`got ${data.toString()}`));
    const early = await connectTo("m1:22", `Bearer ${TOKEN}`, "early");
    expect((await buffer(early.socket)).toString()).toBe("got early");
  });
});

test("a reader that is slow slows the machine's sshd, and nothing is kept in between", async () => {
  let sent = 0;
  onConnection = (socket) => {
    const part = Buffer.alloc(1 << 20);
    const write = () => {
      while (sent < 512 << 20) {
        sent += part.length;
        if (socket.write(part)) continue;
        socket.once("drain", write);
        return;
      }
    };
    write();
  };
  const { socket } = await connectTo("m1:22", `Bearer ${TOKEN}`);
  socket.pause();
  let before = 0;
  const grown = () => {
    const growth = sent - before;
    before = sent;
    return growth;
  };
  await expect.poll(grown, { interval: 200 }).toBe(0);
  expect(sent).toBeLessThan(64 << 20);
  socket.destroy();
  await ended.promise;
});

/** Two connections, one of each kind, that the machine has greeted. */
async function opened() {
  const greeted = Promise.withResolvers<Socket>();
  onConnection = (socket) => {
    socket.write("SSH-2.0-x\r\n");
    greeted.resolve(socket);
  };
  const webSocket = openWebSocket();
  await once(webSocket, "message");
  const { socket } = await connectTo("m1:22", `Bearer ${TOKEN}`);
  const cuts = Promise.all([once(webSocket, "close"), once(socket.resume(), "end")]);
  return { webSocket, cuts, guest: await greeted.promise };
}

describe("a connection is cut", () => {
  test("when what allowed it has ended", async () => {
    const { cuts } = await opened();
    cut.abort(new Error("expired"));
    await expect(cuts).resolves.toBeDefined();
    for (const guest of guests) if (!guest.readableEnded) await once(guest.resume(), "end");
  });

  test("when the server stops", async () => {
    const { cuts } = await opened();
    stopping.abort(new Error("stopping"));
    await expect(cuts).resolves.toBeDefined();
    await relay[Symbol.asyncDispose]();
  });

  test("when the machine has gone", async () => {
    const { cuts } = await opened();
    for (const guest of guests) guest.resetAndDestroy();
    await expect(cuts).resolves.toBeDefined();
    await ended.promise;
  });

  test("when the client was killed, and its computer reset the connection", async () => {
    const { webSocket, guest } = await opened();
    const socket: unknown = Reflect.get(webSocket, "_socket");
    if (!(socket instanceof Socket)) throw new Error("no socket");
    webSocket.on("error", () => undefined);
    const learned = once(guest.resume(), "end");
    socket.resetAndDestroy();
    await learned;
    guest.end();
    await expect(ended.promise).resolves.toBeUndefined();
  });

  test("when the client has gone, and the machine's sshd learns it", async () => {
    const { webSocket, guest } = await opened();
    const closed = once(guest.resume(), "close");
    webSocket.terminate();
    guest.end();
    await closed;
    await expect(ended.promise).resolves.toBeUndefined();
  });
});

test("a message of a size that no OpenSSH writes ends the connection", async () => {
  const webSocket = openWebSocket();
  await once(webSocket, "open");
  webSocket.send(Buffer.alloc(2 << 20));
  expect((await once(webSocket, "close"))[0]).toBe(1009);
  await ended.promise;
});

describe("what may not pass is told why", () => {
  test("without a good token, over a WebSocket", async () => {
    for (const [path, token, user] of [
      ["/v1/ssh/m1", "", ""],
      ["/v1/ssh/m1", "ns_abc", ""],
      ["/v1/ssh/m2", TOKEN, ""],
      ["/v1/ssh/m1", "", `${TOKEN}:@`],
    ] as const) {
      const { status, body } = await refusalOf(openWebSocket(path, token, user));
      expect(status).toBe(401);
      expect(JSON.parse(body)).toMatchObject({
        error: { reason: "SSH_TOKEN_INVALID", remedy: "Get one." },
      });
    }
    expect(guests).toEqual([]);
  });

  test("without a good token, over CONNECT", async () => {
    for (const authorization of [basic("any:ns_abc"), "Bearer", basic(TOKEN), "Digest x"]) {
      const { answer, socket } = await connectTo("m1:22", authorization);
      expect(answer).toMatch(/^HTTP\/1\.1 407 .*\r\n(.*\r\n)*proxy-authenticate: Basic /);
      socket.destroy();
    }
  });

  test("as more than may be open at once, with the time to wait, and the connection is closed", async () => {
    for (const head of [
      `CONNECT m1:22 HTTP/1.1\r\nHost: m1:22\r\nProxy-Authorization: ${basic("x:one too many")}\r\n`,
      "GET /v1/ssh/m1 HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        `Authorization: ${basic("x:one too many")}\r\n`,
    ]) {
      const { answer, socket } = await send(`${head}\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 429 Too Many Requests\r\n(.*\r\n)*retry-after: 30\r\n/);
      // It ends by itself: what is read is all that comes.
      const body = answer.slice(answer.indexOf("\r\n\r\n")) + (await buffer(socket)).toString();
      expect(JSON.parse(body)).toMatchObject({
        error: { reason: "QUOTA_EXCEEDED", message: "enough is open", retryable: true },
      });
      socket.destroy();
    }
    expect([guests, dialed]).toEqual([[], []]);
  });

  test("and a defect is told without its cause", async () => {
    const { answer, socket } = await connectTo("m1:22", "Bearer defect");
    expect(answer).toMatch(/^HTTP\/1\.1 500 /);
    expect((await buffer(socket)).toString() + answer).not.toContain("secret");
    expect(defects).toHaveLength(1);
  });
});

test("it is a proxy to machines' SSH and to nothing else", async () => {
  for (const target of ["m1:23", "127.0.0.1:22", "example.com:22", "m1:22/", "[::1]:22", "m1"]) {
    const { answer, socket } = await connectTo(target, `Bearer ${TOKEN}`);
    expect([target, answer.split("\r\n")[0]]).toEqual([target, "HTTP/1.1 404 Not Found"]);
    socket.destroy();
  }
});

/** Asks for another protocol. */
const asks = (path: string, host: string, protocol: string) =>
  send(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`,
  );

test("its path is its own where no preview is, and nothing else is", async () => {
  for (const [path, host, protocol, status] of [
    ["/v1/ssh/m1", "api", "WebSocket", 401],
    ["/v1/ssh/m1", "preview", "websocket", 418],
    ["/v1/ssh/m1", "api", "h2c", 200],
    ["/v1/ssh/", "api", "websocket", 200],
    ["/v1/ssh/m1/x", "api", "websocket", 200],
    ["/v1/other", "api", "websocket", 200],
  ] as const) {
    const { answer, socket } = await asks(path, host, protocol);
    expect([path, host, answer.split(" ")[1]]).toEqual([path, host, String(status)]);
    socket.destroy();
  }
  expect(dialed).toEqual([]);
});

test("a token is taken from Bearer and from Basic's password", () => {
  expect(relayToken("Bearer abc")).toBe("abc");
  expect(relayToken("bearer  abc")).toBe("abc");
  expect(relayToken(basic("user:a:b"))).toBe("a:b");
  for (const header of [undefined, "", "Bearer", "abc", "Basic !", basic("abc"), "Bearer a b"]) {
    expect(relayToken(header)).toBeUndefined();
  }
});
