import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, request as httpRequest } from "node:http";
import { join } from "node:path";
import { promisify } from "node:util";
import { createClient } from "@connectrpc/connect";
import { MachineService, TransferDirection, TransferService } from "@nullspace/proto";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type AgentServer, startAgentServer } from "../../testing/agent-server.js";
import { RawHttp2Request } from "../../testing/raw-http2.js";
import type { RealAgent } from "../../testing/real-agent.js";
import { transportTo } from "../../testing/server.js";
import { Transfers } from "./transfers.js";

let agent: RealAgent;
let server: AgentServer;
let machineId: string;
const logged: string[] = [];
const note = (...words: unknown[]) => void logged.push(JSON.stringify(words));

beforeAll(async () => {
  server = await startAgentServer({ log: { debug: note, info: note, warn: note, error: note } });
  ({ agent } = server);
  const transport = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
  const { machine } = await createClient(MachineService, transport).create({});
  machineId = machine?.id ?? "";
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const at = (name: string) => join(agent.folder, name);

async function urlFor(path: string, direction: "DOWNLOAD" | "UPLOAD"): Promise<string> {
  const transport = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
  const transfers = createClient(TransferService, transport);
  const { url } = await transfers.createUrl({
    machineId,
    direction: TransferDirection[direction],
    path,
  });
  return `${server.url}${url}`;
}

const downloadUrl = (name: string) => urlFor(at(name), "DOWNLOAD");
const uploadUrl = (name: string) => urlFor(at(name), "UPLOAD");

/** Nothing of an upload is left beside the files that are there. */
function leftovers(): string[] {
  return readdirSync(agent.folder).filter((name) => name.startsWith(".nullspace"));
}

describe("download", () => {
  const content = randomBytes(3 << 20);
  beforeAll(() => writeFileSync(at("data ü.bin"), content));

  test("the whole file, to be saved by its name and never shown as a page", async () => {
    const response = await fetch(await downloadUrl("data ü.bin"));
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "accept-ranges": "bytes",
      "content-length": String(content.length),
      "content-type": "application/octet-stream",
      "content-disposition": `attachment; filename="data _.bin"; filename*=UTF-8''data%20%C3%BC.bin`,
      "x-content-type-options": "nosniff",
      "access-control-allow-origin": "*",
    });
    expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true);
  });

  test("counts as use of the machine", async () => {
    const transport = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
    const usedAt = async () => {
      const { machine } = await createClient(MachineService, transport).get({ id: machineId });
      return machine?.lastActiveAt;
    };
    const url = await downloadUrl("data ü.bin");
    const before = await usedAt();
    await (await fetch(url)).arrayBuffer();
    expect(await usedAt()).not.toEqual(before);
  });

  test("HEAD tells the same and sends nothing", async () => {
    const response = await fetch(await downloadUrl("data ü.bin"), { method: "HEAD" });
    expect([response.status, response.headers.get("content-length")]).toEqual([
      200,
      String(content.length),
    ]);
    expect((await response.arrayBuffer()).byteLength).toBe(0);
  });

  test("ranges, conditions and their failures", async () => {
    const url = await downloadUrl("data ü.bin");
    const get = (headers: Record<string, string>) => fetch(url, { headers });
    const part = await get({ range: "bytes=1000000-1000099" });
    expect([part.status, part.headers.get("content-range")]).toEqual([
      206,
      `bytes 1000000-1000099/${content.length}`,
    ]);
    const expected = content.subarray(1_000_000, 1_000_100);
    expect(Buffer.from(await part.arrayBuffer()).equals(expected)).toBe(true);
    const etag = part.headers.get("etag") ?? "";
    expect((await get({ range: "bytes=-10" })).status).toBe(206);
    const beyond = await get({ range: `bytes=${content.length}-` });
    expect([beyond.status, beyond.headers.get("content-range")]).toEqual([
      416,
      `bytes */${content.length}`,
    ]);
    expect((await get({ range: "bytes=0-1", "if-range": etag })).status).toBe(206);
    expect((await get({ range: "bytes=0-1", "if-range": '"other"' })).status).toBe(200);
    expect((await get({ "if-none-match": etag })).status).toBe(304);
    expect((await get({ "if-match": '"other"' })).status).toBe(412);
    writeFileSync(at("data ü.bin"), content);
    expect((await get({ "if-none-match": etag })).status).toBe(200);
  });

  test("an empty file", async () => {
    writeFileSync(at("empty"), "");
    const response = await fetch(await downloadUrl("empty"));
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });

  test("what is missing, a folder, and what is reserved", async () => {
    const missing = await fetch(await downloadUrl("none"));
    expect([missing.status, await missing.json()]).toMatchObject([
      404,
      { error: { reason: "FILE_NOT_FOUND" } },
    ]);
    const folder = await fetch(await urlFor(agent.folder, "DOWNLOAD"));
    expect([folder.status, await folder.json()]).toMatchObject([
      409,
      { error: { reason: "IS_DIRECTORY" } },
    ]);
    const reserved = await fetch(await urlFor("/workspace/.nullspace/x", "DOWNLOAD"));
    expect(reserved.status).toBe(400);
  });

  test("curl goes on where it was", async () => {
    const target = at("curl.bin");
    writeFileSync(target, content.subarray(0, 1_234_567));
    const url = await downloadUrl("data ü.bin");
    await promisify(execFile)("curl", ["-sS", "--fail", "-C", "-", "-o", target, url]);
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  test("a slow client slows the machine down", async () => {
    writeFileSync(at("large"), Buffer.alloc(64 << 20));
    const request = httpRequest(await downloadUrl("large")).end();
    const response = await new Promise<IncomingMessage>((resolve) => {
      request.once("response", resolve);
    });
    response.pause();
    // Everything in between fills up, and then no more comes.
    let former = -1;
    const stands = () => former === (former = agent.receivedBytes);
    await vi.waitUntil(stands, { timeout: 10_000, interval: 250 });
    expect(former).toBeLessThan(32 << 20);
    let received = 0;
    response.on("data", (chunk: Buffer) => (received += chunk.length)).resume();
    await once(response, "end");
    expect(received).toBe(64 << 20);
  });
});

describe("upload", () => {
  const content = randomBytes((2 << 20) + 12_345);

  test("PUT writes the file at once, with its parents", async () => {
    const body = content;
    const response = await fetch(await uploadUrl("new/put.bin"), { method: "PUT", body });
    expect([response.status, await response.json()]).toEqual([
      200,
      { path: at("new/put.bin"), size: content.length },
    ]);
    expect(readFileSync(at("new/put.bin")).equals(content)).toBe(true);
    expect(statSync(at("new/put.bin")).mode & 0o777).toBe(0o644);
  });

  test("PUT of nothing is an empty file", async () => {
    const response = await fetch(await uploadUrl("nothing"), { method: "PUT" });
    expect([response.status, readFileSync(at("nothing")).length]).toEqual([200, 0]);
  });

  test("a checksum is held against what arrived", async () => {
    const put = async (digest: Buffer) =>
      fetch(await uploadUrl("summed"), {
        method: "PUT",
        body: content,
        headers: { "repr-digest": `sha-256=:${digest.toString("base64")}:` },
      });
    const wrong = await put(createHash("sha256").update("other").digest());
    expect(await wrong.json()).toMatchObject({ error: { reason: "CHECKSUM_MISMATCH" } });
    expect(() => statSync(at("summed"))).toThrow("ENOENT");
    expect((await put(createHash("sha256").update(content).digest())).status).toBe(200);
    expect(readFileSync(at("summed")).equals(content)).toBe(true);
  });

  test("POST of a form, as browsers and curl send it", async () => {
    const form = new FormData();
    form.set("token", "what older clients say again");
    form.set("file", new Blob([content]), "name.bin");
    const response = await fetch(await uploadUrl("form.bin"), { method: "POST", body: form });
    expect(response.status).toBe(200);
    expect(readFileSync(at("form.bin")).equals(content)).toBe(true);

    writeFileSync(at("source"), content);
    const field = `file=@${at("source")}`;
    await promisify(execFile)("curl", ["-sS", "--fail", "-F", field, await uploadUrl("by-curl")]);
    expect(readFileSync(at("by-curl")).equals(content)).toBe(true);
  });

  test.each([
    ["multipart/form-data; boundary=x", "--x--\r\n"],
    ["multipart/form-data; boundary=x", "no form at all"],
    [
      "multipart/form-data; boundary=x",
      '--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nhalf a',
    ],
    ["multipart/form-data", "x"],
    ["text/plain", "x"],
  ])("a form that is none is refused: %s %j", async (type, body) => {
    const headers = { "content-type": type };
    const response = await fetch(await uploadUrl("bad-form"), { method: "POST", body, headers });
    expect(response.status).toBe(400);
    expect(() => statSync(at("bad-form"))).toThrow("ENOENT");
    expect(leftovers()).toEqual([]);
  });

  test("pieces come in any order and again, and the last completes the file", async () => {
    const url = await uploadUrl("pieces.bin");
    const total = content.length;
    const piece = (start: number, end: number) =>
      fetch(url, {
        method: "PUT",
        body: content.subarray(start, end),
        headers: { "content-range": `bytes ${start}-${end - 1}/${total}` },
      });
    const ask = () =>
      fetch(url, { method: "PUT", headers: { "content-range": `bytes */${total}` } });
    expect([(await ask()).status, (await ask()).headers.get("range")]).toEqual([202, null]);
    expect((await piece(1_000_000, total)).status).toBe(202);
    expect((await piece(0, 300_000)).headers.get("range")).toBe("bytes=0-299999");
    expect((await ask()).headers.get("range")).toBe("bytes=0-299999");
    expect(() => statSync(at("pieces.bin"))).toThrow("ENOENT");
    const last = await piece(200_000, 1_000_000);
    expect([last.status, await last.json()]).toEqual([
      200,
      { path: at("pieces.bin"), size: total },
    ]);
    expect(readFileSync(at("pieces.bin")).equals(content)).toBe(true);
    expect(leftovers()).toEqual([]);
  });

  test("goes on after a cut at any byte", async () => {
    const url = await uploadUrl("cut.bin");
    const total = content.length;
    const headersFrom = (start: number) => ({
      "content-range": `bytes ${start}-${total - 1}/${total}`,
      "content-length": String(total - start),
    });
    let start = 0;
    for (const sent of [400_001, 700_003, 300_007]) {
      const request = httpRequest(url, { method: "PUT", headers: headersFrom(start) });
      request.on("error", () => undefined);
      await new Promise<void>((resolve) => {
        request.write(content.subarray(start, start + sent), () => resolve());
      });
      request.socket?.end();
      const former = start;
      // What had arrived and was not yet looked at may be lost; what the server tells it has.
      start = await vi.waitUntil(async () => {
        const headers = { "content-range": `bytes */${total}` };
        const range = (await fetch(url, { method: "PUT", headers })).headers.get("range");
        const arrived = range === null ? 0 : Number(range.split("-")[1]) + 1;
        return arrived > former ? arrived : undefined;
      }, 5000);
    }
    const body = content.subarray(start);
    const { status } = await fetch(url, { method: "PUT", body, headers: headersFrom(start) });
    expect(status).toBe(200);
    expect(readFileSync(at("cut.bin")).equals(content)).toBe(true);
  });

  test("a whole upload that breaks off leaves nothing behind", async () => {
    const request = httpRequest(await uploadUrl("broken"), {
      method: "PUT",
      headers: { "content-length": content.length },
    });
    request.on("error", () => undefined);
    request.write(content.subarray(0, 1_000_000));
    await vi.waitUntil(() => leftovers().length > 0, 5000);
    request.destroy();
    await vi.waitUntil(() => leftovers().length === 0, 5000);
    expect(() => statSync(at("broken"))).toThrow("ENOENT");
  });

  test.each(["bytes 0-4/10", "bytes 5-4/10", "words 0-1/2"])(
    "a piece whose headers contradict its body is refused: %s",
    async (range) => {
      const headers = { "content-range": range };
      const url = await uploadUrl("contradiction");
      const response = await fetch(url, { method: "PUT", body: "too much", headers });
      expect(response.status).toBe(400);
    },
  );
});

describe("HTTP/2", () => {
  const content = randomBytes(1_500_000);
  const curl = (...args: string[]) =>
    promisify(execFile)("curl", ["-sS", "--fail", "--http2-prior-knowledge", ...args]);

  test("curl uploads, by a form too, and downloads a range", async () => {
    writeFileSync(at("h2"), content);
    await curl("-T", at("h2"), await uploadUrl("h2-put"));
    expect(readFileSync(at("h2-put")).equals(content)).toBe(true);
    await curl("-F", `file=@${at("h2")}`, await uploadUrl("h2-form"));
    expect(readFileSync(at("h2-form")).equals(content)).toBe(true);
    await curl("-r", "1000-1999", "-o", at("h2-range"), await downloadUrl("h2"));
    expect(readFileSync(at("h2-range")).equals(content.subarray(1000, 2000))).toBe(true);
  });

  test.each(["its stream is cancelled", "its connection breaks"])(
    "an upload of unknown length leaves nothing behind when %s",
    async (how) => {
      const request = await RawHttp2Request.put(await uploadUrl("h2-cut"));
      request.write(content.subarray(0, 10_000));
      await vi.waitUntil(() => leftovers().length > 0, 5000);
      if (how.includes("stream")) request.cancel();
      else request.socket.destroy();
      await vi.waitUntil(() => leftovers().length === 0, 5000);
      expect(() => statSync(at("h2-cut"))).toThrow("ENOENT");
      request.socket.destroy();
    },
  );
});

test("over HTTP/1.1 an upload of unknown length that breaks off leaves nothing behind", async () => {
  const request = httpRequest(await uploadUrl("h1-cut"), { method: "PUT" });
  request.on("error", () => undefined);
  request.write(randomBytes(600_000));
  await vi.waitUntil(() => leftovers().length > 0, 5000);
  request.socket?.end();
  await vi.waitUntil(() => leftovers().length === 0, 5000);
  expect(() => statSync(at("h1-cut"))).toThrow("ENOENT");
});

describe("the URL", () => {
  test("is for one direction", async () => {
    writeFileSync(at("x"), "x");
    const put = await fetch(await downloadUrl("x"), { method: "PUT", body: "y" });
    expect([put.status, put.headers.get("allow")]).toEqual([403, "GET, HEAD"]);
    const get = await fetch(await uploadUrl("x"));
    expect([get.status, get.headers.get("allow")]).toEqual([403, "PUT, POST"]);
    expect(readFileSync(at("x"), "utf8")).toBe("x");
  });

  test("is for one path", async () => {
    const url = (await downloadUrl("x")).replace("%2Fx&", "%2Fy&");
    const response = await fetch(url);
    expect([response.status, await response.json()]).toMatchObject([
      403,
      { error: { reason: "TRANSFER_URL_INVALID" } },
    ]);
  });

  test("answers browsers of other origins", async () => {
    const response = await fetch(await uploadUrl("x"), {
      method: "OPTIONS",
      headers: {
        origin: "https://example.com",
        "access-control-request-method": "PUT",
        "access-control-request-headers": "content-range",
      },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-methods")).toContain("PUT");
    expect(response.headers.get("access-control-allow-headers")).toContain("content-range");
  });

  test("is made only with a key, and only for a machine that runs", async () => {
    const create = (key: string, id: string) =>
      createClient(
        TransferService,
        transportTo(server.url, "Connect over HTTP/1.1", key),
      ).createUrl({ machineId: id, path: "/x", direction: TransferDirection.UPLOAD });
    await expect(create("ns_wrong", machineId)).rejects.toThrow("API key");
    await expect(create(server.apiKey, "m-none")).rejects.toThrow("m-none");
  });

  test("stays out of the log", () => {
    expect(logged.some((line) => line.includes("/v1/files/"))).toBe(true);
    expect(logged.filter((line) => line.includes("signature"))).toEqual([]);
  });

  test("is signed with a key that only its owner reads, and that lasts", () => {
    const file = join(server.home, "signing-keys.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});

test("a client that stops in the middle is given up", async () => {
  const path = at("stalled");
  const defects: unknown[] = [];
  const transfers = new Transfers({
    admit: async () => ({ machineId, direction: "upload", path, user: "" }),
    use: () => ({ [Symbol.dispose]: () => undefined }),
    connectAgent: async () => agent.session,
    stopping: new AbortController().signal,
    onDefect: (defect) => defects.push(defect),
    stallMs: 300,
  });
  const http = createServer((request, response) => void transfers.serve(request, response));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const address = http.address();
  if (typeof address !== "object" || address === null) throw new Error("it does not listen");
  const { port } = address;
  const options = { port, method: "PUT", headers: { "content-length": 10 } };
  const request = httpRequest(options);
  request.write("abc");
  const failure = await once(request, "error").then(([error]: unknown[]) => error);
  expect(failure).toMatchObject({ code: "ECONNRESET" });
  await vi.waitUntil(() => leftovers().length === 0, 5000);
  http.close();
  expect(defects).toEqual([]);
});
