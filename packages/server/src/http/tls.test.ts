import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { request as requestHttps } from "node:https";
import type { IncomingMessage } from "node:http";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createClient } from "@connectrpc/connect";
import { MachineService, PreviewService } from "@nullspace/proto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readCertificate } from "../certificate.js";
import { type AgentServer, startAgentServer } from "../testing/agent-server.js";
import { transportTo } from "../testing/server.js";
import type { Certificate } from "./listener.js";
import { isPrivate } from "./private-way.js";

let folder: string;
let files: { tlsCert: string; tlsKey: string };
let certificate: Certificate;
let server: AgentServer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "server-tls-"));
  files = { tlsCert: join(folder, "cert.pem"), tlsKey: join(folder, "key.pem") };
  const request =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 " +
    "-subj /CN=preview.example -addext subjectAltName=DNS:*.preview.example";
  const where = ["-keyout", files.tlsKey, "-out", files.tlsCert];
  execFileSync("openssl", [...request.split(" "), ...where], { stdio: "ignore" });
  const read = await readCertificate(files);
  if (read === undefined) throw new Error("no certificate");
  certificate = read;
  server = await startAgentServer({ certificate, previewDomain: "preview.example" });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** A preview of a service that answers each connection as it is told. */
async function preview(answer: (socket: Socket) => void) {
  const service = createServer((socket) => {
    socket.on("error", () => undefined);
    answer(socket);
  });
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- A TCP server that listens.
  const { port } = service.address() as AddressInfo;
  const transport = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
  const { machine } = await createClient(MachineService, transport).create({});
  const grant = await createClient(PreviewService, transport).create({
    machineId: machine?.id ?? "",
    port,
  });
  return { grant, [Symbol.dispose]: () => void service.close() };
}

test("HTTP/2 reaches a preview through TLS, with a cookie marked for it", async () => {
  using shown = await preview((socket) =>
    socket.once("data", (head: Buffer) => {
      const proto = /x-forwarded-proto: (\w+)/i.exec(head.toString())?.[1] ?? "";
      socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${proto.length}\r\n\r\n${proto}`);
    }),
  );
  const url = new URL(shown.grant.httpUrl);
  expect(url.protocol).toBe("https:");
  expect(new URL(shown.grant.websocketUrl).protocol).toBe("wss:");
  const session = connectHttp2(`https://127.0.0.1:${url.port}`, {
    ca: certificate.cert,
    servername: url.hostname,
  });
  const ask = async (path: string, headers: Record<string, string>) => {
    const stream = session.request({ ":authority": url.host, ":path": path, ...headers });
    const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
    return { answer, body: await text(stream) };
  };
  const first = await ask(url.pathname + url.search, { "sec-fetch-mode": "navigate" });
  expect(first.answer).toMatchObject({ ":status": 302, location: `${url.origin}/` });
  const [cookie = ""] = first.answer["set-cookie"] ?? [];
  expect(cookie).toMatch(/^__Host-ns_preview=\S+; Path=\/; .*; Secure$/);
  const second = await ask("/", { cookie: cookie.split(";", 1)[0] ?? "" });
  expect([second.answer[":status"], second.body]).toStrictEqual([200, "https"]);
  expect(session.alpnProtocol).toBe("h2");
  session.close();
});

test("WebSockets reach a preview through TLS", async () => {
  using shown = await preview((socket) =>
    socket.once("data", () => {
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n",
      );
      socket.pipe(socket);
    }),
  );
  const url = new URL(shown.grant.websocketUrl);
  const sent = requestHttps({
    host: "127.0.0.1",
    port: url.port,
    path: url.pathname + url.search,
    ca: certificate.cert,
    servername: url.hostname,
    headers: { host: url.host, connection: "Upgrade", upgrade: "websocket" },
  }).end();
  const [, socket] = (await once(sent, "upgrade")) as [IncomingMessage, Socket];
  socket.write("hello");
  const [data] = (await once(socket, "data")) as [Buffer];
  expect(data.toString()).toBe("hello");
  socket.destroy();
});

test("the way to machines' SSH leads through TLS as well", async () => {
  const { port } = new URL(server.url);
  const sent = requestHttps({
    host: "127.0.0.1",
    port,
    method: "CONNECT",
    path: "m1:22",
    ca: certificate.cert,
    servername: "m1.preview.example",
    headers: { "proxy-authorization": "Bearer none" },
  }).end();
  const [answer, socket] = (await once(sent, "connect")) as [IncomingMessage, Socket];
  expect(answer.statusCode).toBe(407);
  socket.destroy();
});

test("only this computer comes without TLS", async () => {
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  const way = (remoteAddress: string, localAddress: string) =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- What is read of a socket.
    isPrivate({ socket: { remoteAddress, localAddress } as Socket });
  expect(way("127.0.0.1", "127.0.0.1")).toBe(true);
  expect(way("::ffff:127.0.0.1", "::ffff:127.0.0.1")).toBe(true);
  expect(way("203.0.113.7", "203.0.113.7")).toBe(true);
  expect(way("203.0.113.8", "203.0.113.7")).toBe(false);
  expect(way("12.7.0.1", "10.0.0.1")).toBe(false);
  expect(way("::127.0.0.1", "::1")).toBe(false);
});

test("a certificate that cannot be used is refused at the start", async () => {
  await expect(readCertificate({})).resolves.toBeUndefined();
  await expect(readCertificate({ tlsCert: files.tlsCert })).rejects.toThrow("only one is given");
  await expect(readCertificate({ ...files, tlsKey: "/nowhere" })).rejects.toThrow("cannot be used");
  await expect(readCertificate({ ...files, tlsKey: files.tlsCert })).rejects.toThrow(
    "cannot be used",
  );
  expect(readFileSync(files.tlsKey, "utf8")).toContain("PRIVATE KEY");
});

test("a server without a certificate speaks no TLS", async () => {
  await using plain = await startAgentServer();
  const sent = requestHttps(plain.url.replace("http:", "https:"), { rejectUnauthorized: false });
  sent.end();
  await expect(once(sent, "response")).rejects.toThrow(/hang up|reset|disconnected/);
});
