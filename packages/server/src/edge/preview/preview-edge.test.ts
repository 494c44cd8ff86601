import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as requestHttp,
  type RequestListener,
  type Server,
} from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { type Client, createClient } from "@connectrpc/connect";
import {
  MachineService,
  PreviewKind,
  PreviewService,
  type PreviewServiceCreateResponse,
  PreviewTransport,
} from "@nullspace/proto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type AgentServer, startAgentServer } from "../../testing/agent-server.js";
import { transportTo } from "../../testing/server.js";

let server: AgentServer;
let machines: Client<typeof MachineService>;
let previews: Client<typeof PreviewService>;
let machineId: string;
const closing: Server[] = [];

beforeAll(async () => {
  server = await startAgentServer();
  const transport = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
  machines = createClient(MachineService, transport);
  previews = createClient(PreviewService, transport);
});
afterAll(async () => server[Symbol.asyncDispose]());

beforeEach(async () => {
  const { machine } = await machines.create({});
  machineId = machine?.id ?? "";
});
afterEach(() => {
  for (const service of closing.splice(0)) {
    service.closeAllConnections();
    service.close();
  }
});

/** A service of this computer, which is the agent's machine. */
async function serve(listener: RequestListener): Promise<{ port: number; service: Server }> {
  const service = createServer(listener);
  closing.push(service);
  return { port: await listen(service), service };
}

async function listen(service: TcpServer): Promise<number> {
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  const place = service.address();
  if (place === null || typeof place === "string") throw new Error("no port");
  return place.port;
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** Asks as a program does that resolves names of previews to the server. */
async function ask(
  url: string,
  { method = "GET", headers = {}, body }: Asked = {},
): Promise<Answer> {
  const { host, pathname, search } = new URL(url);
  const sent = requestHttp(server.url, {
    method,
    path: pathname + search,
    headers: { host, ...headers },
    agent: false,
  });
  sent.end(body);
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: await text(answer) };
}

const NAVIGATE = { "sec-fetch-mode": "navigate", "sec-fetch-site": "none" };

/** Opens a URL as a browser does, and gives the cookie that it got. */
async function visit(url: string): Promise<string> {
  const { headers } = await ask(url, { headers: NAVIGATE });
  const [cookie = ""] = headers["set-cookie"] ?? [];
  return cookie.split(";", 1)[0] ?? "";
}

function cleanUrl({ httpUrl }: PreviewServiceCreateResponse, path = "/"): string {
  return new URL(path, httpUrl).href;
}

function reasonIn(answer: Answer): unknown {
  const told: unknown = JSON.parse(answer.body);
  return Reflect.get(Object(Reflect.get(Object(told), "error")), "reason");
}

describe("requests", () => {
  test("reach the service, without what is the platform's", async () => {
    const { port } = await serve((request, response) => {
      response.setHeader("x-answer", "yes");
      response.setHeader("set-cookie", [
        "own=1; Path=/; Domain=localhost; HttpOnly",
        "ns_preview=stolen; Path=/",
      ]);
      response.setHeader("alt-svc", 'h3=":443"');
      response.end(JSON.stringify({ url: request.url, headers: request.headers }));
    });
    const grant = await previews.create({ machineId, port });
    const answer = await ask(`${grant.httpUrl}&q=%20a`, {
      headers: {
        authorization: `Bearer ${server.apiKey}`,
        cookie: "a=1; ns_preview=x; b=2",
        "x-nullspace-traffic-access-token": "t",
        "x-forwarded-for": "6.6.6.6",
        "x-forwarded-host": "evil",
        "nullspace-machine-id": machineId,
        connection: "close, x-hop",
        "x-hop": "1",
        "x-own": "kept",
      },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers["x-answer"]).toBe("yes");
    expect(answer.headers["set-cookie"]).toStrictEqual(["own=1; Path=/; HttpOnly"]);
    expect(answer.headers["alt-svc"]).toBeUndefined();
    const seen: unknown = JSON.parse(answer.body);
    expect(seen).toStrictEqual({
      url: "/?q=%20a",
      headers: {
        host: new URL(grant.httpUrl).host,
        connection: "keep-alive",
        cookie: "a=1; b=2",
        "x-own": "kept",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": new URL(grant.httpUrl).host,
        "x-forwarded-proto": "http",
      },
    });
    const own = await ask(grant.httpUrl, { headers: { authorization: "Basic dTpw" } });
    expect(own.body).toContain("Basic dTpw");
  });

  test("need a token, and one that is good", async () => {
    const { port } = await serve((_, response) => response.end("in"));
    const grant = await previews.create({ machineId, port });
    const none = await ask(cleanUrl(grant));
    expect([none.status, reasonIn(none)]).toStrictEqual([401, "PREVIEW_TOKEN_MISSING"]);
    const token = new URL(grant.httpUrl).searchParams.get("edge_token") ?? "";
    for (const wrong of [
      token.slice(0, -1) + (token.endsWith("A") ? "B" : "A"),
      token.replace("nspv", "nspc"),
      new URL(grant.websocketUrl).searchParams.get("edge_token") ?? "",
      "",
      "nspv_",
    ]) {
      const answer = await ask(`${cleanUrl(grant)}?edge_token=${wrong}`);
      expect([wrong, answer.status, reasonIn(answer)]).toStrictEqual([
        wrong,
        401,
        "PREVIEW_TOKEN_INVALID",
      ]);
    }
    const other = await previews.create({ machineId, port: port + 1 });
    const swapped = await ask(`${cleanUrl(other)}?edge_token=${token}`);
    expect(reasonIn(swapped)).toBe("PREVIEW_TOKEN_INVALID");
    const page = await ask(cleanUrl(grant), { headers: { accept: "text/html" } });
    expect(page.headers["content-type"]).toContain("text/html");
    expect(page.body).toContain("PREVIEW_TOKEN_MISSING");
  });

  test("of a browser go on with a cookie, from a clean address", async () => {
    const { port } = await serve((request, response) => response.end(`at ${request.url}`));
    const grant = await previews.create({ machineId, port });
    const url = new URL(grant.httpUrl);
    url.pathname = "//evil.example/a";
    url.searchParams.set("b", "1");
    const first = await ask(url.href, { headers: NAVIGATE });
    expect(first.status).toBe(302);
    expect(first.headers.location).toBe(`http://${url.host}//evil.example/a?b=1`);
    expect(first.headers["referrer-policy"]).toBe("no-referrer");
    const [cookie = ""] = first.headers["set-cookie"] ?? [];
    expect(cookie).toMatch(/^ns_preview=nspc_\S+; Path=\/; Expires=[^;]+; HttpOnly; SameSite=Lax$/);
    const pair = await visit(grant.httpUrl);
    const second = await ask(cleanUrl(grant, "/x"), { headers: { cookie: `z=1; ${pair}` } });
    expect(second.body).toBe("at /x");
    const tossed = await ask(cleanUrl(grant), {
      headers: { cookie: `ns_preview=other; ${pair}` },
    });
    expect(tossed.status).toBe(200);
    const elsewhere = await previews.create({ machineId, port: port + 1 });
    const wrong = await ask(cleanUrl(elsewhere), { headers: { cookie: pair } });
    expect(reasonIn(wrong)).toBe("PREVIEW_TOKEN_INVALID");
  });

  test("by cookie are a visitor's own, not another page's", async () => {
    const { port } = await serve((_, response) => response.end("in"));
    const grant = await previews.create({ machineId, port });
    const cookie = await visit(grant.httpUrl);
    const { host } = new URL(grant.httpUrl);
    const from = async (headers: Record<string, string>) =>
      (await ask(cleanUrl(grant), { headers: { cookie, ...headers } })).status;
    expect(await from({ origin: `http://${host}` })).toBe(200);
    expect(await from({ origin: `http://${host.replace(/^\d+/, "81")}` })).toBe(200);
    expect(await from({ "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" })).toBe(200);
    expect(await from({ origin: "http://evil.example" })).toBe(403);
    expect(await from({ origin: `https://${host}` })).toBe(403);
    expect(await from({ origin: `http://80-m${"0".repeat(19)}.localhost` })).toBe(403);
    expect(await from({ origin: "null" })).toBe(403);
    expect(await from({ "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors" })).toBe(403);
  });

  test("carry bodies of any kind both ways", async () => {
    const { port } = await serve((request, response) => {
      response.writeHead(201, { "content-type": request.headers["content-type"] ?? "" });
      request.pipe(response);
    });
    const { httpUrl } = await previews.create({ machineId, port });
    const type = { "content-type": "text/x" };
    const sized = await ask(httpUrl, { method: "POST", body: "hello", headers: type });
    expect([sized.status, sized.headers["content-type"], sized.body]).toStrictEqual([
      201,
      "text/x",
      "hello",
    ]);
    const chunked = await ask(httpUrl, {
      method: "PUT",
      body: "hello",
      headers: { "transfer-encoding": "chunked" },
    });
    expect(chunked.body).toBe("hello");
    expect((await ask(httpUrl, { method: "DELETE" })).body).toBe("");
    expect((await ask(httpUrl, { method: "HEAD" })).status).toBe(201);
  });

  test.each(["GET", "DELETE", "OPTIONS"])("hide no other one in a body of %s", async (method) => {
    const seen: string[] = [];
    const { port } = await serve((request, response) => {
      void text(request).then((body) => {
        seen.push(`${request.method} ${request.url} ${body}`);
        response.end("in");
      });
    });
    const { httpUrl } = await previews.create({ machineId, port });
    const body = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    const headers = { "transfer-encoding": "chunked" };
    expect((await ask(httpUrl, { method, body, headers })).body).toBe("in");
    expect((await ask(httpUrl)).body).toBe("in");
    expect(seen).toStrictEqual([`${method} / ${body}`, "GET / "]);
  });

  test("come by HTTP/2 as well", async () => {
    const { port } = await serve((request, response) => {
      response.setHeader("set-cookie", ["a=1", "b=2"]);
      response.setHeader("connection", "close");
      request.pipe(response);
    });
    const grant = await previews.create({ machineId, port });
    const url = new URL(grant.httpUrl);
    const session = connectHttp2(server.url);
    const stream = session.request({
      ":method": "POST",
      ":authority": url.host,
      ":path": url.pathname + url.search,
    });
    stream.end("two");
    const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
    expect(headers[":status"]).toBe(200);
    expect(headers["set-cookie"]).toStrictEqual(["a=1", "b=2"]);
    expect(await text(stream)).toBe("two");
    session.close();
  });

  test("stream without an end, and end in the service when the visitor goes", async () => {
    const closed = Promise.withResolvers<void>();
    const { port } = await serve((request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
      request.on("close", closed.resolve);
    });
    const { httpUrl } = await previews.create({ machineId, port });
    const { host, pathname, search } = new URL(httpUrl);
    const sent = requestHttp(server.url, { path: pathname + search, headers: { host } }).end();
    sent.on("error", () => undefined);
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    const [event] = (await once(answer, "data")) as [Buffer];
    expect(event.toString()).toBe("data: 1\n\n");
    sent.destroy();
    await closed.promise;
  });

  test("are answered with what is wrong with the service", async () => {
    const { port, service } = await serve((_, response) => response.socket?.destroy());
    const { httpUrl } = await previews.create({ machineId, port });
    const broken = await ask(httpUrl);
    expect([broken.status, reasonIn(broken)]).toStrictEqual([502, "PORT_CONNECTION_LOST"]);
    service.closeAllConnections();
    service.close();
    const closed = await ask(httpUrl);
    expect([closed.status, reasonIn(closed)]).toStrictEqual([502, "PORT_CLOSED"]);
    const { grants } = await previews.list({ machineId });
    expect(grants[0]).toMatchObject({ lastError: "PORT_CLOSED", httpRequestCount: 2n });
  });

  test.each<[string, string]>([
    ["no HTTP", "SSH-2.0-OpenSSH_9\r\n"],
    [
      "endless headers",
      `HTTP/1.1 200 OK\r\n${"x-a: ".concat("b".repeat(1000), "\r\n").repeat(200)}`,
    ],
    [
      "another protocol that nobody asked for",
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
  ])("bear a service that answers with %s", async (_, answer) => {
    const service = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.write(answer));
    });
    const port = await listen(service);
    const { httpUrl } = await previews.create({ machineId, port });
    expect((await ask(httpUrl)).status).toBe(502);
    service.close();
  });

  test("are cut when the service breaks off in the middle", async () => {
    const { port } = await serve((_, response) => {
      response.writeHead(200, { "content-length": "10" });
      response.write("half");
      setImmediate(() => response.socket?.resetAndDestroy());
    });
    const { httpUrl } = await previews.create({ machineId, port });
    await expect(ask(httpUrl)).rejects.toThrow(/aborted|hang up|reset/i);
  });

  test("find a port's service again that has closed its connection", async () => {
    const { port, service } = await serve((_, response) => response.end("in"));
    const { httpUrl } = await previews.create({ machineId, port });
    expect((await ask(httpUrl)).body).toBe("in");
    service.closeAllConnections();
    expect((await ask(httpUrl)).body).toBe("in");
  });
});

describe("hosts", () => {
  test("of previews are never the API's, and the API's none of theirs", async () => {
    const grant = await previews.create({ machineId, port: 80 });
    const { host } = new URL(grant.httpUrl);
    for (const path of ["/console/", "/healthz", "/nullspace.v1.MachineService/List"]) {
      const answer = await ask(`http://${host}${path}`);
      expect(reasonIn(answer)).toBe("PREVIEW_TOKEN_MISSING");
    }
    const none = await ask(`http://what.localhost/`);
    expect([none.status, reasonIn(none)]).toStrictEqual([404, "MACHINE_NOT_FOUND"]);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  });

  test("are not what a whole URL in the request's line says", async () => {
    const { httpUrl } = await previews.create({ machineId, port: 80 });
    const { host } = new URL(httpUrl);
    const sent = requestHttp(server.url, { path: "http://evil.example/", headers: { host } }).end();
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    expect(answer.statusCode).toBe(400);
    answer.resume();
  });

  test.each([22, 5900, 5999])("of port %i are refused", async (port) => {
    await expect(previews.create({ machineId, port })).rejects.toThrow("previews do not reach");
    await expect(previews.getAddress({ machineId, port })).rejects.toThrow("do not reach");
    await expect(previews.wait({ machineId, port })).rejects.toThrow("do not reach");
  });

  test.each([0, 65_536])("of port %i are no hosts", async (port) => {
    await expect(previews.create({ machineId, port })).rejects.toThrow(`port is ${port}`);
  });

  test("are told as they are opened", async () => {
    const { grant } = await previews.create({ machineId, port: 3000 });
    const address = await previews.getAddress({ machineId, port: 3000 });
    const { port } = new URL(server.url);
    expect(address).toMatchObject({
      host: `3000-${machineId}.localhost:${port}`,
      httpUrl: `http://3000-${machineId}.localhost:${port}/`,
      websocketUrl: `ws://3000-${machineId}.localhost:${port}/`,
      trafficAccessRequired: false,
    });
    expect(grant?.machineId).toBe(machineId);
  });
});

describe("WebSockets", () => {
  /** A service that speaks as a WebSocket does until the bytes begin, and then echoes them. */
  async function echo(): Promise<{ port: number; seen: IncomingHttpHeaders[]; open: Set<Socket> }> {
    const seen: IncomingHttpHeaders[] = [];
    const open = new Set<Socket>();
    const { port, service } = await serve((_, response) => response.writeHead(426).end("upgrade"));
    service.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
      seen.push(request.headers);
      if (request.url === "/no") {
        socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
        return;
      }
      open.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => open.delete(socket));
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: x\r\nset-cookie: ns_preview=evil\r\n\r\n",
      );
      socket.write(head);
      socket.pipe(socket);
    });
    return { port, seen, open };
  }

  interface Opened {
    status: number;
    headers: IncomingHttpHeaders;
    socket?: Socket;
    body?: string;
  }

  async function open(url: string, headers: Record<string, string> = {}): Promise<Opened> {
    const { host, pathname, search } = new URL(url);
    const sent = requestHttp(server.url, {
      path: pathname + search,
      agent: false,
      headers: {
        host,
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
        ...headers,
      },
    });
    const { promise, resolve, reject } = Promise.withResolvers<Opened>();
    sent.on("upgrade", (answer, socket) =>
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, socket }),
    );
    sent.on("response", (answer) => {
      void text(answer).then((body) =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }),
      );
    });
    sent.on("error", reject);
    sent.end();
    return promise;
  }

  test("echo through the preview, and close together", async () => {
    const service = await echo();
    const { websocketUrl } = await previews.create({ machineId, port: service.port });
    const { socket, headers } = await open(websocketUrl, { "sec-websocket-protocol": "chat" });
    expect(headers["sec-websocket-accept"]).toBe("x");
    expect(headers["set-cookie"]).toBeUndefined();
    expect(service.seen[0]).toMatchObject({
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-protocol": "chat",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    });
    if (socket === undefined) throw new Error("not upgraded");
    socket.write("hello");
    const [data] = (await once(socket, "data")) as [Buffer];
    expect(data.toString()).toBe("hello");
    const [inside] = service.open;
    const closed = inside && once(inside, "close");
    socket.destroy();
    await closed;
    const { grants } = await previews.list({ machineId });
    expect(grants[0]).toMatchObject({ websocketConnectionCount: 1n, bytesIn: 5n, bytesOut: 5n });
  });

  test("end with the service's", async () => {
    const service = await echo();
    const { websocketUrl } = await previews.create({ machineId, port: service.port });
    const { socket } = await open(websocketUrl);
    const closed = socket && once(socket, "close");
    socket?.resume();
    for (const inside of service.open) inside.destroy();
    await closed;
    expect(socket?.destroyed).toBe(true);
  });

  test("are refused by the service as it likes", async () => {
    const service = await echo();
    const { websocketUrl } = await previews.create({ machineId, port: service.port });
    const url = new URL(websocketUrl);
    url.pathname = "/no";
    const { status, body } = await open(url.href);
    expect([status, body]).toStrictEqual([403, "no"]);
  });

  test("need a token of their own, or the page's origin beside its cookie", async () => {
    const service = await echo();
    const grant = await previews.create({ machineId, port: service.port });
    const cookie = await visit(grant.httpUrl);
    const url = `ws://${new URL(grant.httpUrl).host}/`;
    const origin = `http://${new URL(url).host}`;
    const status = async (headers: Record<string, string>, at = url) => {
      const opened = await open(at, headers);
      opened.socket?.destroy();
      return opened.status;
    };
    expect(await status({})).toBe(401);
    expect(await status({}, grant.httpUrl)).toBe(401);
    expect(await status({ cookie })).toBe(403);
    expect(await status({ cookie, origin: "http://evil.example" })).toBe(403);
    expect(await status({ cookie, origin: origin.replace(/\d+-/, "80-") })).toBe(403);
    expect(await status({ cookie, origin: `${origin}.evil.example` })).toBe(403);
    expect(await status({ cookie: "ns_preview=x", origin })).toBe(401);
    expect(await status({ cookie, origin })).toBe(101);
    const httpOnly = await previews.create({
      machineId,
      port: service.port,
      transports: [PreviewTransport.HTTP],
    });
    expect(httpOnly.websocketUrl).toBe("");
    expect(await status({ cookie: await visit(httpOnly.httpUrl), origin })).toBe(401);
  });

  test("and requests are cut when their grant is revoked, and no others", async () => {
    const service = await echo();
    const streaming = await serve((_, response) => response.write("begun"));
    const grant = await previews.create({ machineId, port: service.port });
    const other = await previews.create({ machineId, port: service.port });
    const { socket } = await open(grant.websocketUrl);
    const { socket: kept } = await open(other.websocketUrl);
    if (socket === undefined || kept === undefined) throw new Error("not upgraded");
    const stream = await previews.create({ machineId, port: streaming.port });
    const { host, pathname, search } = new URL(stream.httpUrl);
    const sent = requestHttp(server.url, { path: pathname + search, headers: { host } }).end();
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    const cutOff = new Promise((resolve) =>
      answer
        .on("error", () => undefined)
        .on("close", resolve)
        .resume(),
    );
    sent.on("error", () => undefined);
    const closed = once(socket.resume(), "close");
    const revoked = await previews.revoke({ id: grant.grant?.id ?? "" });
    await previews.revoke({ id: stream.grant?.id ?? "" });
    await Promise.all([closed, cutOff]);
    expect(answer.complete).toBe(false);
    expect(revoked.grant?.revokedAt).toBeDefined();
    kept.write("still");
    const [data] = (await once(kept, "data")) as [Buffer];
    expect(data.toString()).toBe("still");
    kept.destroy();
    const again = await open(grant.websocketUrl);
    expect([again.status, JSON.parse(again.body ?? "")]).toMatchObject([
      403,
      { error: { reason: "PREVIEW_REVOKED" } },
    ]);
    const once_more = await previews.revoke({ id: grant.grant?.id ?? "" });
    expect(once_more.grant?.revokedAt).toStrictEqual(revoked.grant?.revokedAt);
  });
});

describe("proxies", () => {
  test("send the token in a header, and tell of the way themselves", async () => {
    const { port } = await serve((request, response) =>
      response.end(JSON.stringify({ url: request.url, headers: request.headers })),
    );
    const target = await previews.create({ machineId, port, kind: PreviewKind.PROXY });
    expect(target.httpUrl).toMatch(/\/\?__ns_preview_transport=header$/);
    const header = (token: string) => ({ "x-nullspace-preview-proxy-token": token });
    const answer = await ask(`${target.httpUrl}&a=1`, {
      headers: {
        ...header(target.httpToken),
        ...NAVIGATE,
        "x-forwarded-host": "app.example",
        "x-forwarded-for": "1.2.3.4",
      },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers["set-cookie"]).toBeUndefined();
    const seen: unknown = JSON.parse(answer.body);
    expect(seen).toMatchObject({
      url: "/?a=1",
      headers: { "x-forwarded-host": "app.example", "x-forwarded-for": "1.2.3.4" },
    });
    expect(answer.body).not.toContain("nullspace");
    expect(answer.body).not.toContain("x-forwarded-proto");
    expect((await ask(target.httpUrl)).status).toBe(401);
    expect((await ask(target.httpUrl, { headers: header(target.websocketToken) })).status).toBe(
      401,
    );
    const direct = await previews.create({ machineId, port });
    const token = new URL(direct.httpUrl).searchParams.get("edge_token") ?? "";
    expect((await ask(target.httpUrl, { headers: header(token) })).status).toBe(401);
    const asQuery = await ask(`${cleanUrl(direct)}?edge_token=${target.httpToken}`);
    expect(asQuery.status).toBe(401);
  });
});

describe("machines", () => {
  test("that allow no public traffic need their own token too", async () => {
    const { port } = await serve((request, response) => response.end(request.headers.host));
    const made = await machines.create({
      network: { previews: { allowPublicTraffic: false, maskRequestHost: "localhost:${PORT}" } },
    });
    const id = made.machine?.id ?? "";
    const grant = await previews.create({ machineId: id, port });
    expect(grant.trafficAccessRequired).toBe(true);
    const header = "x-nullspace-traffic-access-token";
    const refused = await ask(grant.httpUrl);
    expect([refused.status, reasonIn(refused)]).toStrictEqual([403, "TRAFFIC_TOKEN_REQUIRED"]);
    const other = await machines.create({ network: { previews: { allowPublicTraffic: false } } });
    const wrong = await ask(grant.httpUrl, { headers: { [header]: other.trafficAccessToken } });
    expect(wrong.status).toBe(403);
    const right = { [header]: made.trafficAccessToken };
    expect((await ask(grant.httpUrl, { headers: right })).body).toBe(`localhost:${port}`);
    expect((await ask(cleanUrl(grant), { headers: right })).status).toBe(401);
    const { machine } = await machines.get({ id });
    expect(machine?.previews).toMatchObject({ allowPublicTraffic: false });
    const open = await machines.create({});
    expect(open.trafficAccessToken).toBe("");
    await expect(
      machines.create({ network: { previews: { maskRequestHost: "a b\r\nx: y" } } }),
    ).rejects.toThrow("is no host");
  });

  test("that are paused wake for those they let in, if they may", async () => {
    const { port } = await serve((_, response) => response.end("awake"));
    const { machine } = await machines.create({ onTimeout: 2, autoResume: true });
    const id = machine?.id ?? "";
    const grant = await previews.create({ machineId: id, port });
    await machines.pause({ id });
    expect((await ask(cleanUrl(grant))).status).toBe(401);
    expect((await machines.get({ id })).machine?.resumedAs).toBe("");
    const [one, two] = await Promise.all([ask(grant.httpUrl), ask(grant.httpUrl)]);
    expect([one.body, two.body]).toStrictEqual(["awake", "awake"]);
    const alias = await machines.get({ id });
    expect(alias.machine?.resumedAs).not.toBe("");
    await machines.pause({ id: alias.machine?.resumedAs ?? "" });
    expect((await ask(grant.httpUrl)).body).toBe("awake");

    const other = await previews.create({ machineId, port });
    await machines.pause({ id: machineId });
    const asleep = await ask(other.httpUrl);
    expect([asleep.status, asleep.headers["retry-after"], reasonIn(asleep)]).toStrictEqual([
      503,
      "5",
      "MACHINE_PAUSED",
    ]);
    await machines.kill({ id: machineId });
    expect((await ask(other.httpUrl)).status).toBe(503);
    await expect(previews.create({ machineId, port })).rejects.toThrow("killed");
  });

  test("tell whether their services are ready, and what listens instead", async () => {
    const service = createServer((request, response) => {
      if (request.url !== "/silent") response.writeHead(request.url === "/bad" ? 500 : 404).end();
    });
    const port = await listen(service);
    expect(await previews.wait({ machineId, port, path: "/silent", timeoutMs: 100 })).toMatchObject(
      {
        routeReady: true,
        serviceReady: false,
        code: "PREVIEW_SERVICE_NOT_READY",
      },
    );
    expect(await previews.wait({ machineId, port })).toMatchObject({
      routeReady: true,
      serviceReady: true,
      status: 0,
      attempts: 1,
      code: "",
    });
    expect(await previews.wait({ machineId, port, path: "/" })).toMatchObject({
      serviceReady: true,
      status: 404,
    });
    expect(await previews.wait({ machineId, port, path: "/bad", timeoutMs: 300 })).toMatchObject({
      routeReady: true,
      serviceReady: false,
      status: 500,
      code: "PREVIEW_SERVICE_NOT_READY",
    });
    service.close();
    const missing = await previews.wait({ machineId, port, timeoutMs: 100 });
    expect(missing).toMatchObject({ routeReady: true, serviceReady: false, status: 0 });
    expect(missing.message).toMatch(/nothing listens on port \d+ .*; listening: /);
    await machines.pause({ id: machineId });
    expect(await previews.wait({ machineId, port, timeoutMs: 100 })).toMatchObject({
      routeReady: false,
      code: "MACHINE_NOT_RUNNING",
    });
  });
});

test("grants are listed newest first, by port and in pages", async () => {
  for (const port of [3000, 3001, 3000]) await previews.create({ machineId, port });
  const page = await previews.list({ machineId, limit: 2 });
  expect(page.grants.length).toBe(2);
  const rest = await previews.list({ machineId, limit: 2, cursor: page.nextCursor });
  expect(rest).toMatchObject({ grants: [{ port: 3000 }], nextCursor: "" });
  const of3001 = await previews.list({ machineId, port: 3001 });
  expect(of3001.grants.map(({ port }) => port)).toStrictEqual([3001]);
  await expect(previews.list({ machineId: "m0" })).rejects.toThrow("no machine");
  await expect(previews.revoke({ id: "p0" })).rejects.toThrow("no preview grant");
});

test("expiry is clamped to a minute and a day", async () => {
  const seconds = async (expiresInSeconds: number) => {
    const { grant } = await previews.create({ machineId, port: 80, expiresInSeconds });
    return Number((grant?.expiresAt?.seconds ?? 0n) - (grant?.createdAt?.seconds ?? 0n));
  };
  expect(await seconds(0)).toBe(3600);
  expect(await seconds(1)).toBe(60);
  expect(await seconds(90)).toBe(90);
  expect(await seconds(1_000_000)).toBe(86_400);
});
