import {
  PreviewKind,
  PreviewTransport,
  redactPreviewToken,
  redactPreviewUrl,
} from "@nullspace/proto";
import * as fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Machine } from "../machine.js";
import { Nullspace } from "../nullspace.js";
import { FakeServer } from "../testing/fake-server.js";

let server: FakeServer;
let client: Nullspace;
let machine: Machine;

beforeAll(async () => {
  server = await FakeServer.start();
  client = new Nullspace({ url: server.url, apiKey: server.apiKey });
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  machine = await client.machines.create();
});

test("URLs are signed, and told without their secret", async () => {
  const host = `3000-${machine.id}.localhost:7070`;
  const signed = await machine.createSignedPreviewUrl(3000, { expiresInSeconds: 90 });
  expect(signed.url).toBe(`http://${host}/?edge_token=nspv_x.y.z`);
  expect(signed.websocketUrl).toBe(`ws://${host}/?edge_token=nspv_x.y.z`);
  expect(signed.grant).toMatchObject({
    machineId: machine.id,
    port: 3000,
    kind: "url",
    transports: ["http", "websocket"],
    useCount: 0,
    revokedAt: undefined,
    lastError: undefined,
  });
  expect(signed.expiresAt).toStrictEqual(signed.grant.expiresAt);
  expect(await machine.getHostInfo(3000)).toMatchObject({ host, port: 3000, url: signed.url });
  expect(await machine.getUrl(3000)).toBe(signed.url);
  expect(await machine.getWebsocketUrl(3000)).toBe(signed.websocketUrl);
  expect(await machine.getPreviewUrl(3000)).toStrictEqual({
    machineId: machine.id,
    port: 3000,
    host,
    url: `http://${host}/`,
    websocketUrl: `ws://${host}/`,
    trafficAccessRequired: false,
  });
});

test("expiry is sent as it is asked for, and a moment is no hour", async () => {
  for (const expiresInSeconds of [undefined, 0, -5, 1.5, 7200]) {
    await machine.createSignedPreviewUrl(3000, { expiresInSeconds });
  }
  const sent = server.previews.requests.slice(-5);
  expect(sent).toMatchObject([0, 1, 1, 2, 7200].map((seconds) => ({ expiresInSeconds: seconds })));
});

test("proxy targets hold no secret in their URLs", async () => {
  const target = await machine.createPreviewProxyTarget(3000, { transports: ["http"] });
  expect(server.previews.requests.at(-1)).toMatchObject({
    kind: PreviewKind.PROXY,
    transports: [PreviewTransport.HTTP],
  });
  expect(target.httpUrl).toMatch(/\?__ns_preview_transport=header$/);
  expect(target).toMatchObject({
    websocketUrl: undefined,
    tokenHeaderName: "x-nullspace-preview-proxy-token",
    httpToken: "nspx_h",
    websocketToken: undefined,
    tokenTransport: "header",
    requiredForwardedHeaders: ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-for"],
    trafficAccessHeaderName: "x-nullspace-traffic-access-token",
  });
  const both = await machine.createPreviewProxyTarget(3000);
  expect([both.httpToken, both.websocketToken]).toStrictEqual(["nspx_h", "nspx_w"]);
});

test("grants are listed in pages, and revoked with or without a handle", async () => {
  for (const port of [1, 2, 1]) await machine.createSignedPreviewUrl(port);
  const ports: number[] = [];
  for await (const { port } of machine.listPreviewUrls({ limit: 2 })) ports.push(port);
  expect(ports).toStrictEqual([1, 2, 1]);
  const [newest] = (await machine.listPreviewUrls({ port: 2 })).items;
  const revoked = await machine.revokePreviewUrl(newest?.id ?? "");
  expect(revoked.revokedAt).toBeInstanceOf(Date);
  const again = await client.machines.revokePreviewUrl(newest?.id ?? "");
  expect(again.revokedAt).toStrictEqual(revoked.revokedAt);
  await expect(machine.revokePreviewUrl("p999")).rejects.toMatchObject({
    reason: "PREVIEW_NOT_FOUND",
  });
});

test("a service that is not there in time is a result", async () => {
  const ready = await machine.waitForPreview(3000, { path: "/", timeoutMs: 5 });
  expect(ready).toStrictEqual({
    ready: true,
    routeReady: true,
    serviceReady: true,
    status: 200,
    attempts: 1,
    elapsedMs: 1.5,
    code: undefined,
    message: undefined,
    remedy: undefined,
  });
  server.previews.status = 0;
  const missing = await machine.waitForPreview(3000);
  expect(missing).toMatchObject({ ready: false, routeReady: true, status: undefined });
  expect(missing).toMatchObject({ code: "PREVIEW_SERVICE_NOT_READY", message: "nothing listens" });
  expect(server.previews.requests.at(-1)).toMatchObject({ path: "", timeoutMs: 30_000 });
  server.previews.status = 200;
});

describe("redaction", () => {
  const token = fc
    .tuple(
      fc.constantFrom("nspv", "nspc", "nspx", "nstr"),
      fc.stringMatching(/^[A-Za-z0-9._-]{1,80}$/),
    )
    .map(([family, rest]) => ({ family, text: `${family}_${rest}`, rest }));

  test("takes tokens of every family out of any text, and leaves the rest", () => {
    const around = fc.stringMatching(/^[ "'=&?:/<>()]{1,10}$/);
    fc.assert(
      fc.property(around, token, around, (before, { family, text }, after) => {
        expect(redactPreviewToken(`${before}${text}${after}`)).toBe(
          `${before}${family}_[redacted]${after}`,
        );
      }),
    );
    for (const text of ["", "m123.localhost", "ns_preview", "transport", "nspvx"]) {
      expect(redactPreviewUrl(text)).toBe(text);
    }
  });

  test("takes what a URL's parameter holds out, whatever it is", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9._-]{8,40}$/), (secret) => {
        for (const url of [
          `http://h/?edge_token=${secret}`,
          `ws://h/a?b=1&edge_token=${secret}&c=2#d`,
          `http://other/?next=http%3A%2F%2Fh%2F%3Fedge_token%3D${secret}%26x`,
        ]) {
          expect(redactPreviewUrl(url)).not.toContain(secret);
        }
      }),
    );
    expect(redactPreviewUrl("http://h/a?b=1&edge_token=s&c=2#d")).toBe(
      "http://h/a?b=1&edge_token=[redacted]&c=2#d",
    );
  });
});
