import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { FakeServer, type FakeServerOptions } from "../../../sdk/src/testing/fake-server.js";

const DIST = new URL("../../dist/", import.meta.url);

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** The strictest policy that the console must work under. Terminals set styles on elements. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

type Handler = NonNullable<FakeServerOptions["fallback"]>;

/** A fake API with the built console beside it, as the real server serves it. */
export async function startConsole(port = 0): Promise<FakeServer> {
  const server: FakeServer = await FakeServer.start({
    http: "1.1",
    port,
    fallback: (request, response) => void answer(request.url ?? "/", response, server),
  });
  return server;
}

async function answer(
  url: string,
  response: Parameters<Handler>[1],
  { files }: FakeServer,
): Promise<void> {
  const { pathname, searchParams } = new URL(url, "http://console");
  if (pathname.startsWith("/v1/files/")) {
    response.writeHead(200, { "Content-Type": "application/octet-stream" });
    response.end(await files.contentOf(searchParams.get("path") ?? ""));
    return;
  }
  const path = pathname.replace(/^\/console\/?/, "");
  const file = extname(path) === "" ? "index.html" : path;
  try {
    const body = await readFile(fileURLToPath(new URL(file, DIST)));
    response.writeHead(200, {
      "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
      "Content-Security-Policy": POLICY,
    });
    response.end(body);
  } catch {
    response.writeHead(404, {});
    response.end();
  }
}
