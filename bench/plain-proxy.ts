// node bench/plain-proxy.ts HOME SNAPSHOT: what previews are compared with. Restores a guest,
// runs the service in it, and stands before it as a reverse proxy does that does nothing else: no
// tokens, no accounts, no server. Prints its port; ends with its standard input.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent, createServer, request as requestHttp } from "node:http";
import type { Duplex } from "node:stream";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { CHANNEL_KEY_BYTES } from "@nullspace/proto/channel";
import { openTunnel, systemClient } from "@nullspace/server/internal";
import { BareQemu } from "./bare-qemu.ts";
import { programsOf } from "./direct-exec.ts";
import { PREVIEW_SERVICE_COMMAND, PREVIEW_SERVICE_PORT } from "./preview-service.ts";
import { SnapshotSource } from "./snapshot-source.ts";

const [home = "", snapshot = ""] = process.argv.slice(2);
const WAIT_MS = 60_000;

await using qemu = await BareQemu.restore(await SnapshotSource.open(home, snapshot));
const { session } = qemu;
await systemClient(session).adopt({
  machineId: "bare",
  hostname: "bare",
  cwd: "/workspace",
  generation: 1n,
  time: timestampNow(),
  entropy: randomBytes(32),
  channelKey: randomBytes(CHANNEL_KEY_BYTES),
});
const ended = new AbortController();
const { program, args } = PREVIEW_SERVICE_COMMAND;
const service = programsOf(session)(program, args).catch((error: unknown) => {
  if (!ended.signal.aborted) throw error;
});
const target = { port: PREVIEW_SERVICE_PORT };
(await openTunnel(session, { ...target, waitMs: WAIT_MS }, ended.signal)).destroy();

class GuestAgent extends Agent {
  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    void this.#connect(callback);
  }

  async #connect(callback?: (error: Error | null, stream: Duplex) => void): Promise<void> {
    const tunnel = await openTunnel(session, target, ended.signal);
    tunnel.once("end", () => tunnel.end());
    callback?.(null, tunnel);
  }
}
const agent = new GuestAgent({ keepAlive: true, timeout: 4000, maxFreeSockets: 32 });
const server = createServer((request, response) => {
  const { method, url: path, headers } = request;
  const sent = requestHttp({ agent, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  sent.on("error", () => response.destroy());
  request.pipe(sent);
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const place = server.address();
if (place === null || typeof place === "string") throw new Error("no port");
process.stdout.write(`${place.port}\n`);
await once(process.stdin.resume(), "end");
ended.abort();
server.close();
server.closeAllConnections();
agent.destroy();
void service;
