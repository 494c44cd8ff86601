import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Machine, PermissionError } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { type Browser, startBrowser } from "./support/browser.js";
import { copyPackage } from "./support/packages-copy.js";
import { addJupyter, notebook } from "./support/jupyter.js";
import { expectNothingLeft } from "./support/leaks.js";
import { beforePreview, startNginx } from "./support/nginx.js";
import { peakOf, resetPeak } from "./support/peak-memory.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import {
  answerTo,
  ask,
  beginRequest,
  frame,
  heard,
  openWebsocket,
} from "./support/preview-requests.js";
import { startServer, type TestServer } from "./support/server.js";

/** The agent's own, which is in every machine. */
const NODE = "/opt/nullspace/bin/node";
const SERVICES = new URL("support/guest/services.ts", import.meta.url);
const WEB = new URL("../packages/web/package.json", import.meta.url).pathname;
const MIB = 1 << 20;
/** Of the body that is streamed to the machine and back. */
const BODY_MIB = 16;
/** Of the one that the machine has ready. */
const LARGE_MIB = 128;

let server: TestServer;
let machine: Machine;
let browser: Browser;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
  const starting = startBrowser();
  machine = await server.client.machines.create({
    timeoutSeconds: 0,
    onTimeout: "pause",
    autoResume: true,
  });
  await machine.files.write("services.ts", await readFile(SERVICES));
  await machine.commands.run(`${NODE} services.ts`, { background: true });
  const { ready, message } = await machine.waitForPreview(3000, { path: "/seen" });
  if (!ready) throw new Error(message);
  browser = await starting;
});

afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await expectNothingLeft(server.home);
  await removeHome(server.home);
});

test("requests reach a service on loopback, without what is the platform's", async () => {
  const { url, grant } = await machine.createSignedPreviewUrl(3000);
  const secrets = {
    authorization: `Bearer ${server.apiKey}`,
    cookie: "ns_preview=secret; own=1",
    "x-nullspace-preview-proxy-token": "",
  };
  const { "x-nullspace-preview-proxy-token": _, ...headers } = secrets;
  const path = new URL(url);
  path.pathname = "/seen";
  const { status, body } = await ask(server.url, path.href, { headers });
  expect(status).toBe(200);
  expect(JSON.parse(body)).toMatchObject({ url: "/seen", headers: { cookie: "own=1" } });
  for (const secret of [server.apiKey, "edge_token", "nspv_", "secret", "nullspace-"]) {
    expect(body).not.toContain(secret);
  }
  const [listed] = (await machine.listPreviewUrls({ port: 3000 })).items;
  expect(listed).toMatchObject({ id: grant.id, httpRequestCount: 1, useCount: 1 });
  expect(listed?.bytesOut).toBe(body.length);
  // Neither the token nor the key of this test is in anything that the server wrote.
  expect(server.log).not.toMatch(/nspv_|nspc_|edge_token/);
});

test("ports of the platform are refused, and what listens is told", async () => {
  for (const port of [22, 5900, 5999]) {
    await expect(machine.createSignedPreviewUrl(port)).rejects.toBeInstanceOf(PermissionError);
  }
  const missing = await machine.waitForPreview(3999, { timeoutMs: 500 });
  expect(missing).toMatchObject({ routeReady: true, serviceReady: false });
  expect(missing.message).toContain("3000 (node)");
});

test("a body streams each way at once, byte for byte", async () => {
  const { url } = await machine.createSignedPreviewUrl(3000);
  const path = new URL(url);
  path.pathname = "/echo";
  const sent = beginRequest(server.url, path.href, { method: "POST" });
  const hashes = { sent: createHash("sha256"), received: createHash("sha256") };
  const part = randomBytes(MIB);
  const parts = async function* () {
    for (let index = 0; index < BODY_MIB; index++) {
      part.writeUInt32BE(index);
      hashes.sent.update(part);
      yield Buffer.from(part);
    }
  };
  const sending = pipeline(parts, sent);
  const answer = await answerTo(sent);
  let received = 0;
  answer.on("data", (data: Buffer) => {
    received += data.length;
    hashes.received.update(data);
  });
  await Promise.all([sending, once(answer, "end")]);
  expect(received).toBe(BODY_MIB * MIB);
  expect(hashes.received.digest("hex")).toBe(hashes.sent.digest("hex"));
});

test("the server holds little of a large body", async () => {
  const { url } = await machine.createSignedPreviewUrl(3000);
  const path = new URL(url);
  path.pathname = "/large";
  await resetPeak(server.pid);
  const before = await peakOf(server.pid);
  const answer = await answerTo(beginRequest(server.url, path.href).end());
  let received = 0;
  answer.on("data", (data: Buffer) => (received += data.length));
  await once(answer, "end");
  expect(received).toBe(LARGE_MIB * MIB);
  // However large the body, its garbage collector lets some 60 MiB pile up.
  expect((await peakOf(server.pid)) - before).toBeLessThan(96 * MIB);
});

test("a chat works in a browser, until its grant is revoked", async () => {
  const { url, grant, websocketUrl } = await machine.createSignedPreviewUrl(3000);
  const page = await browser.context.newPage();
  await page.goto(url);
  expect(page.url()).toBe((await machine.getPreviewUrl(3000)).url);
  await page.locator("body[data-state=open]").waitFor();
  const socket = await openWebsocket(server.url, websocketUrl);
  const [, listening] = [
    await page.locator("#said").fill("hello from the page"),
    heard(socket, "hello from the page"),
  ];
  await page.keyboard.press("Enter");
  await listening;
  socket.write(frame("and back"));
  await page.getByText("and back").waitFor();

  const path = new URL(url);
  path.pathname = "/events";
  const events = await answerTo(beginRequest(server.url, path.href).end());
  const first: unknown[] = await once(events, "data");
  expect(String(first[0])).toBe("data: 0\n\n");
  const broken = new Promise((resolve) => events.on("error", resolve).resume());
  const closed = once(socket.resume(), "close");
  await machine.revokePreviewUrl(grant.id);
  await Promise.all([closed, broken]);
  await page.locator("body[data-state=closed]").waitFor();
  const again = await page.goto((await machine.getPreviewUrl(3000)).url);
  expect(again?.status()).toBe(403);
  await page.getByText("PREVIEW_REVOKED").waitFor();
  await page.close();
});

test("nginx shows a port under a name of its own", async () => {
  const target = await machine.createPreviewProxyTarget(3000);
  await using nginx = await startNginx(server.url, beforePreview(target));
  const seen = await ask(nginx.url, `${nginx.url}/seen?a=1`);
  expect(seen.status).toBe(200);
  expect(JSON.parse(seen.body)).toMatchObject({
    url: "/seen?a=1",
    headers: { "x-forwarded-host": "app.example", "x-forwarded-proto": "https" },
  });
  expect(seen.body).not.toContain("nspx_");
  const socket = await openWebsocket(nginx.url, `${nginx.url}/chat`);
  const echo = heard(socket, "through nginx");
  socket.write(frame("through nginx"));
  await echo;
  const closed = once(socket.resume(), "close");
  await machine.revokePreviewUrl(target.grant.id);
  await closed;
  expect((await ask(nginx.url, `${nginx.url}/seen`)).status).toBe(403);
});

test("Vite's development server replaces modules in a page that stays", async () => {
  const site = await mkdtemp(join(tmpdir(), "nullspace-site-"));
  try {
    await copyPackage("vite", WEB, site);
    await writeFile(
      join(site, "index.html"),
      '<!doctype html><title>site</title><p id="app"></p><script type="module" src="/main.js"></script>',
    );
    await writeFile(
      join(site, "main.js"),
      `import { text } from "./text.js";
const show = (shown) => { document.querySelector("#app").textContent = shown; };
show(text);
window.loads = (window.loads ?? 0) + 1;
import.meta.hot.on("vite:ws:connect", () => { document.body.dataset.hot = "connected"; });
import.meta.hot.accept("./text.js", (module) => show(module.text));`,
    );
    await writeFile(join(site, "text.js"), 'export const text = "one";');
    await machine.files.uploadDir(site, "site");
  } finally {
    await rm(site, { recursive: true });
  }
  const vite = `${NODE} node_modules/vite/bin/vite.js --host 127.0.0.1 --port 5173 --strictPort`;
  const running = await machine.commands.run(vite, { cwd: "site", background: true });
  const ready = await machine.waitForPreview(5173, { path: "/", timeoutMs: 120_000 });
  expect(ready).toMatchObject({ ready: true, status: 200 });
  const page = await browser.context.newPage();
  await page.goto(await machine.getUrl(5173));
  await page.locator("#app").getByText("one").waitFor();
  await page.locator("body[data-hot=connected]").waitFor();
  await machine.files.write("site/text.js", 'export const text = "two";');
  await page.locator("#app").getByText("two").waitFor();
  expect(await page.evaluate("window.loads")).toBe(1);
  await page.close();
  await running.kill();
});

test("a Jupyter page runs a cell over its kernel's WebSocket", { timeout: 300_000 }, async () => {
  await addJupyter(machine, join(inject("preparedHome"), "test-layers"));
  const cell = 'import os\nprint("six times seven is", 6 * 7, "at", os.uname().nodename)';
  await machine.files.write("notebooks/first.ipynb", notebook(cell));
  const options = [
    "--no-browser",
    "--ip=127.0.0.1",
    "--port=8888",
    "--notebook-dir=notebooks",
    "--NotebookApp.enable_mathjax=False",
    // Who may come the preview has decided.
    "--NotebookApp.token=",
    "--NotebookApp.allow_remote_access=True",
  ];
  const jupyter = await machine.commands.run("python3", {
    args: ["-m", "notebook", ...options],
    background: true,
  });
  const ready = await machine.waitForPreview(8888, { path: "/api", timeoutMs: 120_000 });
  expect(ready).toMatchObject({ ready: true, status: 200 });
  const page = await browser.context.newPage();
  // An emulated machine takes its time over each of Jupyter's parts.
  page.setDefaultTimeout(120_000);
  await page.setViewportSize({ width: 1100, height: 600 });
  const url = new URL(await machine.getUrl(8888));
  url.pathname = "/notebooks/first.ipynb";
  await page.goto(url.href);
  await page.locator("#kernel_indicator_icon.kernel_idle_icon").waitFor();
  await page.locator(".code_cell .CodeMirror").click();
  await page.keyboard.press("Shift+Enter");
  await page
    .locator(".output_stdout")
    .getByText(`six times seven is 42 at ${machine.id}`)
    .waitFor();
  const pictures = process.env["NULLSPACE_PICTURES"];
  if (pictures !== undefined) await page.screenshot({ path: join(pictures, "jupyter.png") });
  await page.close();
  await jupyter.kill();
});

test("a paused machine wakes for whoever is let in, and goes on under the same host", async () => {
  const { url, websocketUrl } = await machine.createSignedPreviewUrl(3000);
  const path = new URL(url);
  path.pathname = "/seen";
  const { id } = machine;
  await machine.pause();
  expect((await ask(server.url, (await machine.getPreviewUrl(3000)).url)).status).toBe(401);
  expect((await server.client.machines.getInfo(id)).resumedAs).toBeUndefined();
  expect((await ask(server.url, path.href)).status).toBe(200);
  const { resumedAs } = await server.client.machines.getInfo(id);
  if (resumedAs === undefined) throw new Error("nothing goes on from the paused machine");

  await server.client.machines.pause(resumedAs);
  const socket = await openWebsocket(server.url, websocketUrl);
  const echo = heard(socket, "awake");
  socket.write(frame("awake"));
  await echo;
  socket.destroy();

  const again = (await server.client.machines.getInfo(resumedAs)).resumedAs ?? "";
  await server.client.machines.setTimeout(again, { seconds: 0, onTimeout: "kill" });
  await server.client.machines.pause(again);
  const asleep = await ask(server.url, path.href);
  expect([asleep.status, asleep.headers["retry-after"]]).toEqual([503, "5"]);
  expect(asleep.body).toContain("MACHINE_PAUSED");
});
