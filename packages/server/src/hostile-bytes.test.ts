import { once } from "node:events";
import { connect as connectHttp2, type OutgoingHttpHeaders } from "node:http2";
import { Duplex } from "node:stream";
import { createClient } from "@connectrpc/connect";
import {
  MACHINE_ID_HEADER,
  MachineService,
  TransferDirection,
  TransferService,
} from "@nullspace/proto";
import { ProcessService } from "@nullspace/proto/agent";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Probe } from "./edge/preview/probe.js";
import { EnvelopeReader } from "@nullspace/proto/envelopes";
import { openTunnel } from "./edge/tunnel/port-tunnel.js";
import { AgentConnection } from "./host/agent/agent-connection.js";
import { systemClient } from "./host/agent/system-client.js";
import { QmpClient } from "./host/qemu/qmp/qmp-client.js";
import { FakeHost } from "./testing/fake-host.js";
import { FUZZ_TIMEOUT_MS, fuzz } from "./testing/fuzz.js";
import { hostileSession, pieceSizes, torn } from "./testing/hostile-bytes.js";
import { type Attack, HostileGuest } from "./testing/hostile-guest.js";
import { startTestServer, type TestServer, transportTo } from "./testing/server.js";

const KEY = Buffer.alloc(32, 1);
/** How long each call waits for a guest that says nothing more. */
const CALL_MS = 50;

/** The guest answers on its channel: this only ends what hangs. */
const CONNECT = { timeoutMs: 8_000 };

const defects: unknown[] = [];
let guest: HostileGuest;
let host: FakeHost;
let server: TestServer;
let connection: AgentConnection;
let machineId: string;
let downloadUrl: string;

beforeAll(async () => {
  guest = await HostileGuest.start();
  host = new FakeHost();
  connection = new AgentConnection("m", guest.directory, KEY);
  const quiet = () => undefined;
  server = await startTestServer({
    log: { debug: quiet, info: quiet, warn: quiet, error: (what) => void defects.push(what) },
    openHost: async () => ({
      service: host.service,
      connectAgent: () => connection.session(CONNECT),
      [Symbol.asyncDispose]: () => host.hangUp(),
    }),
  });
  const transport = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
  const { machine } = await createClient(MachineService, transport).create({});
  machineId = machine?.id ?? "";
  const direction = TransferDirection.DOWNLOAD;
  const transfers = createClient(TransferService, transport);
  const { url } = await transfers.createUrl({ machineId, direction, path: "/x" });
  downloadUrl = server.url + url;
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
  await guest[Symbol.asyncDispose]();
});

const PATH = `/${ProcessService.typeName}/List`;

/** A call that a user makes over HTTP/1.1. */
async function callOverHttp1(): Promise<void> {
  const signal = AbortSignal.timeout(CALL_MS * 4);
  const response = await fetch(server.url + PATH, {
    method: "POST",
    headers: headers(),
    body: "{}",
    signal,
  });
  await response.arrayBuffer();
}

/** The same over HTTP/2. */
async function callOverHttp2(): Promise<void> {
  const session = connectHttp2(server.url);
  session.on("error", () => undefined);
  try {
    const call = session.request({ ":method": "POST", ":path": PATH, ...headers() });
    call.end("{}");
    call.setTimeout(CALL_MS * 4, () => call.close());
    call.on("error", () => undefined);
    call.resume();
    await new Promise((resolve) => call.once("close", resolve));
  } finally {
    session.destroy();
  }
}

function headers(): Record<string, string> & OutgoingHttpHeaders {
  return {
    authorization: `Bearer ${server.apiKey}`,
    [MACHINE_ID_HEADER]: machineId,
    "content-type": "application/json",
  };
}

async function download(): Promise<void> {
  const response = await fetch(downloadUrl, { signal: AbortSignal.timeout(CALL_MS * 4) });
  await response.arrayBuffer();
}

/** Through the channel, to a port. */
async function tunnel(): Promise<void> {
  const signal = AbortSignal.timeout(CALL_MS);
  const session = await connection.session(CONNECT);
  const stream = await openTunnel(session, { port: 80 }, signal);
  const given = setTimeout(() => stream.destroy(), CALL_MS);
  stream.end("GET / HTTP/1.1\r\n\r\n");
  stream.resume();
  await once(stream, "close");
  clearTimeout(given);
}

async function probe(): Promise<void> {
  const look = { machineId, port: 80, path: "/", host: "x", waitMs: CALL_MS };
  const connect = () => connection.session(CONNECT);
  await new Probe(connect).look(look, AbortSignal.timeout(CALL_MS));
}

async function ping(): Promise<void> {
  const session = await connection.session(CONNECT);
  await systemClient(session).ping({}, { timeoutMs: CALL_MS });
}

const CALLS = [ping, callOverHttp1, callOverHttp2, download, tunnel, probe];

test(
  "whatever a guest sends, each call ends, and the server goes on",
  async () => {
    const input = fc.record({
      stale: fc.uint8Array({ maxLength: 100 }),
      session: hostileSession,
      sizes: pieceSizes,
      /** Whether the guest waits with each of its answers for a call. */
      waits: fc.boolean(),
      /** Whether the guest hangs up at the end; it says nothing more else. */
      hangsUp: fc.boolean(),
    });
    await fuzz("the agent's channel", input, async (value) => {
      guest.attack = attackWith(value);
      connection = new AgentConnection("m", guest.directory, KEY);
      try {
        // What they come to does not matter: only that they do.
        await Promise.allSettled(CALLS.map((call) => call()));
      } finally {
        connection[Symbol.dispose]();
      }
      expect(defects.splice(0)).toEqual([]);
    });
    guest.attack = async () => {};
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  },
  FUZZ_TIMEOUT_MS,
);

/** Whether it was done, or what it threw. */
function outcome(read: () => void): string {
  try {
    read();
    return "read";
  } catch (error) {
    return String(error);
  }
}

interface Attacking {
  stale: Uint8Array;
  session: Buffer[];
  sizes: number[];
  waits: boolean;
  hangsUp: boolean;
}

function attackWith({ stale, session, sizes, waits, hangsUp }: Attacking): Attack {
  return async (port) => {
    await port.send(Buffer.from(stale));
    await port.begin();
    for (const [index, answer] of session.entries()) {
      if (waits) await Promise.race([port.call(index + 1), port.hungUp]);
      for (const piece of torn(answer, sizes)) if (!(await port.send(piece))) return;
    }
    if (hangsUp) port.close();
  };
}

test(
  "whatever comes as envelopes, none is longer than it may be",
  async () => {
    const input = fc.record({ session: hostileSession, sizes: pieceSizes });
    await fuzz("envelopes", input, async ({ session, sizes }) => {
      const most = 1000;
      const reader = new EnvelopeReader(most, (_, content) => {
        expect(content.length).toBeLessThanOrEqual(most);
      });
      const read = () => {
        for (const piece of torn(Buffer.concat(session), sizes)) reader.push(piece);
      };
      expect(outcome(read)).toMatch(/^(read|Error: an envelope of \d+ bytes is more than 1000)$/);
    });
  },
  FUZZ_TIMEOUT_MS,
);

test(
  "whatever a QEMU that was broken into sends on its monitor, each command ends",
  async () => {
    const line = fc.oneof(
      fc.constantFrom(
        '{"QMP":{"version":{"qemu":{"major":7,"minor":2,"micro":1}}}}',
        '{"QMP":{}}',
        '{"return":{},"id":1}',
        '{"return":[],"id":2}',
        '{"return":{"status":"running"},"id":2}',
        '{"error":{"class":"GenericError","desc":"x"},"id":2}',
        '{"error":{"class":"GenericError","desc":"x"}}',
        '{"error":7,"id":2}',
        '{"event":"RESUME"}',
        '{"event":"VSERPORT_CHANGE","data":{"id":7}}',
        '{"event":"VSERPORT_CHANGE","data":null}',
        '{"event":"__proto__"}',
        '{"return":{},"id":"__proto__"}',
        "[]",
        "null",
      ),
      fc.json(),
      fc.string({ unit: "binary", maxLength: 100 }),
    );
    const input = fc.record({
      lines: fc.array(line, { maxLength: 20 }),
      greets: fc.boolean(),
      sizes: pieceSizes,
    });
    await fuzz("the monitor", input, async ({ lines, greets, sizes }) => {
      const greeting = '{"QMP":{"version":{"qemu":{"major":7,"minor":2,"micro":1}}}}';
      const text = [...(greets ? [greeting] : []), ...lines].join("\n");
      const pieces = torn(Buffer.from(text), sizes);
      const monitor = new Duplex({
        read() {
          this.push(pieces.shift() ?? null);
        },
        write(_chunk, _encoding, callback) {
          callback();
        },
      });
      const commands = async () => {
        await using qmp = await QmpClient.open(monitor, { timeoutMs: CALL_MS });
        qmp.on("VSERPORT_CHANGE", () => undefined);
        const deadline = { timeoutMs: CALL_MS };
        await Promise.allSettled([
          qmp.execute("query-status", {}, deadline),
          qmp.once("RESUME", deadline),
        ]);
      };
      await commands().catch(() => undefined);
      expect(monitor.destroyed).toBe(true);
    });
  },
  FUZZ_TIMEOUT_MS,
);
