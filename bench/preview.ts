import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Machine } from "@nullspace/sdk";
import type { Bench } from "./bench.ts";
import type { BenchServer } from "./bench-server.ts";
import { timed } from "./clock.ts";
import { load } from "./http-load.ts";
import { interleave, side } from "./interleave.ts";
import type { Figure, Findings, Measurement, Ratio } from "./measurement.ts";
import { PREVIEW_SERVICE_COMMAND, PREVIEW_SERVICE_PORT } from "./preview-service.ts";
import { retrying } from "./retry.ts";
import { quantileOf, summarise } from "./statistics.ts";

const PLAIN_PROXY = fileURLToPath(import.meta.resolve("./plain-proxy.ts"));
const WAIT_MS = 60_000;
const CONNECTIONS = 16;
const WEBSOCKETS = 1000;
/** WebSockets that are opened side by side. */
const OPENED_AT_ONCE = 16;
const KIB = 1024;

const LEAST_THROUGHPUT = 0.8;
const MOST_P99 = 1.25;
const MOST_WAKE = 1.2;
/** Of an idle WebSocket, in KiB: 40 kB. */
const MOST_WEBSOCKET = 39;

/** Requests and WebSockets through previews, and what waking a machine adds. */
export const preview: Measurement = {
  name: "preview",
  async run(bench: Bench): Promise<Findings> {
    const { signal, note } = bench;
    await using server = await bench.startServer();
    const { machines } = server.client;
    const machine = await retrying(
      () => machines.create({ timeoutSeconds: 0, onTimeout: "pause", autoResume: true, signal }),
      note,
    );
    await serve(machine);
    note("requests");
    const requests = await measureRequests(bench, server, machine);
    note("WebSockets");
    const websockets = await measureWebsockets(bench, server, machine);
    note("waking");
    const waking = await measureWaking(bench, server, machine);
    return {
      about: ABOUT,
      ratios: { ...requests.ratios, ...waking.ratios },
      figures: { ...requests.figures, ...websockets },
      samples: { ...requests.samples, ...waking.samples },
    };
  },
};

const ABOUT =
  `Requests with a short answer from ${CONNECTIONS} connections through a preview, against the same through a ` +
  "plain reverse proxy of Node.js in a process of its own, which does nothing else: to the same service in a guest " +
  "of the same snapshot, through the same tunnels over the same kind of channel, in turn. The memory of WebSockets is that of " +
  "the server's process after a garbage collection, with them and without. Waking: from the request to a preview of a " +
  "paused machine to its answer's first byte, against the call of resume, and against resume with a first command, " +
  "each after a pause, in turn: under emulation a restored guest is slow at whatever it does first.";

/** Runs the service in a machine. */
async function serve(machine: Machine): Promise<void> {
  const { program, args } = PREVIEW_SERVICE_COMMAND;
  await machine.commands.run(program, { args, background: true });
  const { ready, message } = await machine.waitForPreview(PREVIEW_SERVICE_PORT, {
    path: "/",
    timeoutMs: WAIT_MS,
  });
  if (!ready) throw new Error(message);
}

async function measureRequests(bench: Bench, server: BenchServer, machine: Machine) {
  const { home, snapshot, quick, signal } = bench;
  const count = quick ? 300 : 1500;
  const shown = new URL(await machine.getUrl(PREVIEW_SERVICE_PORT));
  await using proxy = await startPlainProxy(home, snapshot.id);
  const common = { count, connections: CONNECTIONS, host: shown.host };
  const path = shown.pathname + shown.search;
  const latencies: Record<"preview" | "proxy", number[]> = { preview: [], proxy: [] };
  const through = (name: keyof typeof latencies, url: URL, at: string) =>
    side(async () => {
      const outcome = await load({ ...common, url, path: at });
      latencies[name].push(quantileOf(outcome.latencies, 0.99));
      return [outcome.perSecond];
    });
  const ours = through("preview", new URL(server.url), path);
  const plain = through("proxy", proxy.url, "/");
  await interleave([ours, plain], { rounds: quick ? 3 : 8, warmUps: 1, signal });
  const samples = {
    preview_requests: { ...summarise(ours.samples), unit: "1/s" } as const,
    proxy_requests: { ...summarise(plain.samples), unit: "1/s" } as const,
    // The first is of the round that warms up.
    preview_p99_ms: { ...summarise(latencies.preview.slice(1)), unit: "ms" } as const,
    proxy_p99_ms: { ...summarise(latencies.proxy.slice(1)), unit: "ms" } as const,
  };
  const ceiling = await guestCeiling(machine, count);
  const ratios: Record<string, Ratio> = {
    preview_vs_proxy: {
      value: samples.preview_requests.median / samples.proxy_requests.median,
      least: LEAST_THROUGHPUT,
      of: "requests a second through a preview / through a plain proxy over the same channel",
    },
    preview_p99_vs_proxy: {
      value: samples.preview_p99_ms.median / samples.proxy_p99_ms.median,
      limit: MOST_P99,
      of: "99th percentile of their latency / that through the plain proxy",
    },
    preview_vs_guest: {
      value: samples.preview_requests.median / ceiling,
      of: "requests a second through a preview / of a client in the guest itself",
    },
  };
  const figures: Record<string, Figure> = {
    guest_requests: { value: ceiling, unit: "1/s", what: "a client in the guest, service and all" },
  };
  return { ratios, samples, figures };
}

/** Requests a second of a client in the guest, which shares the guest's processors with the service. */
async function guestCeiling(machine: Machine, count: number): Promise<number> {
  await machine.files.write(
    "http-load.ts",
    await readFile(new URL("http-load.ts", import.meta.url)),
  );
  const program = `import { load } from "/workspace/http-load.ts";
const url = new URL("http://127.0.0.1:${PREVIEW_SERVICE_PORT}");
const common = { url, path: "/", host: url.host, connections: ${CONNECTIONS} };
await load({ ...common, count: 200 });
console.log((await load({ ...common, count: ${count} })).perSecond);`;
  const args = ["--input-type=module", "--eval", program];
  const { stdout } = await machine.commands.run(PREVIEW_SERVICE_COMMAND.program, { args });
  return Number(stdout);
}

async function measureWebsockets(bench: Bench, server: BenchServer, machine: Machine) {
  const count = bench.quick ? 200 : WEBSOCKETS;
  const url = new URL(await machine.getWebsocketUrl(PREVIEW_SERVICE_PORT));
  // What the first of them load is no one's own.
  for (const socket of await openAll(server, url, OPENED_AT_ONCE)) socket.destroy();
  const before = await server.memory();
  const sockets = await openAll(server, url, count);
  const after = await server.memory();
  let dropped = 0;
  for (const socket of sockets) socket.once("close", () => dropped++).resume();
  const idleMs = bench.full ? 300_000 : 10_000;
  await setTimeout(idleMs, undefined, { signal: bench.signal });
  const lost = dropped;
  for (const socket of sockets) socket.destroy();
  const each = (of: "rss" | "data") => (after[of] - before[of]) / count / KIB;
  const figures: Record<string, Figure> = {
    websocket_rss: {
      value: each("rss"),
      unit: "KiB",
      limit: MOST_WEBSOCKET,
      what: `all of the server for each of ${count}`,
    },
    websocket_data: { value: each("data"), unit: "KiB", what: "of it data of JavaScript" },
    websockets_dropped: {
      value: lost,
      unit: "1",
      limit: 0,
      what: `of ${count} in ${idleMs / 1000} s`,
    },
  };
  return figures;
}

async function openAll(server: BenchServer, url: URL, count: number): Promise<Duplex[]> {
  const sockets: Duplex[] = [];
  let begun = 0;
  const open = async () => {
    while (begun < count) {
      begun++;
      const sent = request(server.url, {
        path: url.pathname + url.search,
        agent: false,
        headers: {
          host: url.host,
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
      }).end();
      const upgraded = Promise.withResolvers<Duplex>();
      sent.once("upgrade", (_answer, socket) =>
        upgraded.resolve(socket.on("error", () => undefined)),
      );
      sent.once("response", ({ statusCode }) =>
        upgraded.reject(new Error(`an upgrade was answered with ${statusCode}`)),
      );
      sent.once("error", upgraded.reject);
      sockets.push(await upgraded.promise);
    }
  };
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, open));
  return sockets;
}

async function measureWaking(bench: Bench, server: BenchServer, machine: Machine) {
  const { machines } = server.client;
  const url = new URL(await machine.getUrl(PREVIEW_SERVICE_PORT));
  let running = machine.id;
  const woken = side(async () => {
    await machines.pause(running);
    const { ms } = await timed(() => firstByte(server, url));
    running = (await machines.getInfo(running)).resumedAs ?? "";
    return [ms];
  });
  const resumed = side(async () => {
    const { id } = await machines.pause(running);
    const { ms, value } = await timed(() => machines.resume(id));
    running = value.id;
    return [ms];
  });
  const commanded = side(async () => {
    const { id } = await machines.pause(running);
    const { ms, value } = await timed(async () => {
      const machine = await machines.resume(id);
      await machine.commands.run("true", { args: [] });
      return machine;
    });
    running = value.id;
    return [ms];
  });
  const rounds = bench.quick ? 4 : 10;
  await interleave([woken, resumed, commanded], { rounds, warmUps: 1, signal: bench.signal });
  const samples = {
    wake_first_byte_ms: { ...summarise(woken.samples), unit: "ms" } as const,
    wake_resume_ms: { ...summarise(resumed.samples), unit: "ms" } as const,
    wake_resume_exec_ms: { ...summarise(commanded.samples), unit: "ms" } as const,
  };
  const ratios: Record<string, Ratio> = {
    wake_vs_resume: {
      value: samples.wake_first_byte_ms.median / samples.wake_resume_ms.median,
      limit: MOST_WAKE,
      of: "first byte of a request that wakes a machine / resume alone",
    },
    wake_vs_resume_exec: {
      value: samples.wake_first_byte_ms.median / samples.wake_resume_exec_ms.median,
      of: "the same / resume and the program `true` in it: both have the guest do something",
    },
  };
  return { samples, ratios };
}

async function firstByte(server: BenchServer, url: URL): Promise<void> {
  const sent = request(server.url, {
    path: url.pathname + url.search,
    agent: false,
    headers: { host: url.host },
  }).end();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  sent.once("error", reject);
  sent.once("response", (answer) => {
    if (answer.statusCode === 200) answer.once("data", () => resolve()).on("error", reject);
    else reject(new Error(`the request that wakes was answered with ${answer.statusCode}`));
  });
  return promise;
}

interface PlainProxy extends AsyncDisposable {
  url: URL;
}

/** Starts the plain proxy, with a guest of its own, in a process of its own. */
async function startPlainProxy(home: string, snapshotId: string): Promise<PlainProxy> {
  const child = spawn(process.execPath, [PLAIN_PROXY, home, snapshotId], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const gone = new AbortController();
  child.once("exit", () => gone.abort(new Error("the plain proxy ended")));
  const lines: unknown[] = await once(createInterface(child.stdout), "line", {
    signal: gone.signal,
  });
  return {
    url: new URL(`http://127.0.0.1:${String(lines[0])}`),
    async [Symbol.asyncDispose]() {
      const exited = once(child, "exit");
      child.stdin.end();
      await exited;
    },
  };
}
