import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Nullspace } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AgentServer, startAgentServer } from "../../server/src/testing/agent-server.js";
import { Cli } from "./testing/cli.js";

let server: AgentServer;
let cli: Cli;
let id: string;
let home: string;
let service: Server;
let port: string;

beforeAll(async () => {
  server = await startAgentServer();
  const client = new Nullspace({ url: server.url, apiKey: server.apiKey });
  ({ id } = await client.machines.create());
  client.close();
  home = mkdtempSync(join(tmpdir(), "cli-preview-"));
  cli = new Cli({
    HOME: home,
    NULLSPACE_HOME: join(home, "none"),
    NULLSPACE_API_URL: server.url,
    NULLSPACE_API_KEY: server.apiKey,
  });
  service = createServer((_request, response) => response.end("in"));
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  const place = service.address();
  port = String(typeof place === "object" ? place?.port : 0);
});
afterAll(async () => {
  service.closeAllConnections();
  service.close();
  await server[Symbol.asyncDispose]();
  rmSync(home, { recursive: true });
});

/** Runs a command that must succeed and gives what it printed. */
async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli.run(args);
  expect([args.join(" "), code, stderr]).toEqual([args.join(" "), 0, ""]);
  return stdout.toString();
}

/** What is at a preview's URL. */
async function fetchPreview(url: string): Promise<string> {
  const { host, pathname, search } = new URL(url);
  const sent = request(server.url, { path: pathname + search, headers: { host }, agent: false });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  sent.on("response", (answer) => resolve(text(answer)));
  sent.on("error", reject);
  sent.end();
  return promise;
}

test("a URL is made, used, listed and revoked", async () => {
  expect(await ok("preview", "wait", id, port, "--path", "/")).toMatch(/^ready after \d+ ms\n$/);
  const url = (await ok("preview", "url", id, port, "--expires", "10m")).trim();
  expect(url).toMatch(new RegExp(`^http://${port}-${id}\\.localhost:\\d+/\\?edge_token=nspv_`));
  expect(await fetchPreview(url)).toBe("in");
  expect(await ok("preview", "url", id, port, "--websocket")).toMatch(/^ws:/);
  expect((await ok("preview", "address", id, port)).trim()).toBe(url.replace(/\?.*/, ""));
  const [, , row = ""] = (await ok("preview", "list", id, "--port", port)).split("\n");
  expect(row).toMatch(
    new RegExp(`^p\\w{19} +${port} +url +9m 5\\ds left +1 +0 B +2 B +0?\\ds ago`),
  );
  const [grant = ""] = row.split(" ");
  expect(await ok("preview", "revoke", grant)).toBe(`${grant}\n`);
  expect(await fetchPreview(url)).toContain("PREVIEW_REVOKED");
  const { code } = await cli.run(["preview", "revoke", "p0"]);
  expect(code).toBe(3);
});

test("a service that is not there is told, by the exit code too", async () => {
  const waited = await cli.run(["preview", "wait", id, "9", "--timeout", "1", "--json"]);
  expect(waited.code).toBe(8);
  expect(JSON.parse(waited.stdout.toString())).toMatchObject({ ready: false, routeReady: true });
  const refused = await cli.run(["preview", "url", id, "22"]);
  expect([refused.code, refused.stderr]).toEqual([5, expect.stringContaining("port 22")]);
});

test("a proxy's target is printed with its tokens", async () => {
  const shown = await ok("preview", "proxy-target", id, port, "--transport", "http");
  expect(shown).toMatch(/header +x-nullspace-preview-proxy-token\n/);
  expect(shown).toMatch(/http token +nspx_\S+\n/);
  expect(shown).not.toContain("websocket");
});

test("a machine without public traffic tells its token once, beside its id", async () => {
  const made = await cli.run(["machine", "create", "--no-public-traffic"]);
  expect(made.stdout.toString()).toMatch(/^m\w{19}\n$/);
  expect(made.stderr).toMatch(/^traffic access token: nstr_\S+\n$/);
});
