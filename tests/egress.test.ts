import { execFileSync, spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { createServer, type Server } from "node:net";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { CommandHandle, Machine } from "@nullspace/sdk";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { networksOf } from "./support/networks-of.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { reach, REACHED, type Target } from "./support/reach.js";
import { startServer, type TestServer } from "./support/server.js";
import { ECHO_PORT, HOST, HOSTS, HTTP_PORT, TestInternet } from "./support/test-internet.js";
import { until } from "./support/until.js";

const CLI = fileURLToPath(new URL("../packages/cli/dist/main.js", import.meta.url));
const GATEWAY = "198.19.255.1";

let home: string;
let internet: TestInternet;
let server: TestServer;
let machine: Machine;
/** Listen on every address of this computer. */
let onHost: Server;
let hostDatagrams: Socket;
let hostPort: number;
/** What {@link hostDatagrams} was sent. */
const arrived: string[] = [];

beforeAll(async () => {
  home = await linkHome(inject("preparedHome"));
  internet = await TestInternet.open();
  onHost = createServer((socket) => socket.on("error", () => undefined).end("the host\n")).listen({
    host: "::",
    port: 0,
  });
  await once(onHost, "listening");
  const address = onHost.address();
  hostPort = typeof address === "object" && address !== null ? address.port : 0;
  hostDatagrams = createSocket("udp4", (message) => arrived.push(message.toString().trim()));
  await once(hostDatagrams.bind(hostPort), "listening");
  server = await startServer({ home, args: ["--dns", HOSTS.dns] });
  machine = await server.client.machines.create({ timeoutSeconds: 0 });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  onHost.close();
  hostDatagrams.close();
  await internet[Symbol.asyncDispose]();
  await removeHome(home);
});

const tcp = (host: string, port: number = ECHO_PORT): Target => ({ kind: "tcp", host, port });
const udp = (host: string, text: string, more: Partial<Target> = {}): Target => ({
  kind: "udp",
  host,
  port: ECHO_PORT,
  text,
  ...more,
});
const ping = (host: string): Target => ({ kind: "ping", host });
const name = (host: string): Target => ({ kind: "name", host });
const frame = (host: string, text: string, more: Partial<Target> = {}): Target => ({
  kind: "frame",
  host,
  port: ECHO_PORT,
  text,
  ...more,
});

/** Texts of the datagrams that hosts were sent since this was last asked. */
async function textsSeen(): Promise<string[]> {
  return (await internet.seen()).map((line) => line.split(" ").slice(3).join(" ").trim());
}

/** An address of the host's end of a machine's network. */
function hostEnd(): string {
  const shown = execFileSync("ip", ["-o", "-4", "address", "show"], { encoding: "utf8" });
  return /198\.18\.[0-9.]+/.exec(shown)?.[0] ?? "";
}

/** What has come to this computer since this was last asked. */
async function arrivedOnHost(): Promise<string[]> {
  const sender = createSocket("udp4");
  sender.send("that is all", hostPort, "127.0.0.1");
  while (!arrived.includes("that is all")) await once(hostDatagrams, "message");
  sender.close();
  return arrived.splice(0).filter((text) => text !== "that is all");
}

test("with one call a machine reaches the Internet, by address and by name", async () => {
  const { stdout } = await machine.commands.run(
    `curl -sS http://${HOSTS.web}/ && curl -sS http://other.test/`,
  );
  expect(stdout).toBe(`hello from ${HOSTS.web}\nhello from ${HOSTS.other}\n`);
  expect(await machine.getInfo({ fields: ["egress"] })).toEqual({ egress: "allowAll" });
});

describe("with everything allowed", () => {
  test("ways that are open are seen to be open", async () => {
    const targets = [
      tcp(HOSTS.web),
      udp(HOSTS.web, "open"),
      udp(HOSTS.web, "in fragments", { bytes: 4000 }),
      ping(HOSTS.web),
      { kind: "ping", host: HOSTS.web, bytes: 4000 } as const,
    ];
    const [first, ...others] = await reach(machine, targets);
    expect([first, ...others]).toEqual([
      "connected",
      "answered",
      "answered",
      "answered",
      "answered",
    ]);
    expect((await internet.seen()).filter((line) => line.startsWith("udp"))).toHaveLength(2);
  });

  test("the host, private networks, metadata and IPv6 are out of reach", async () => {
    const links = await machine.commands.run("ip route");
    expect(links.stdout).toContain(`default via ${GATEWAY}`);
    const targets: Target[] = [
      ...[GATEWAY, hostEnd(), HOST.private, HOST.open, HOST.v6].flatMap((host) => [
        tcp(host, hostPort),
        ping(host),
      ]),
      ...[HOSTS.neighbour, HOSTS.metadata, HOSTS.neighbour6].flatMap((host) => [
        tcp(host, HTTP_PORT),
        udp(host, "forbidden"),
        udp(host, "forbidden", { bytes: 4000 }),
        ping(host),
      ]),
      ...["fe80::5054:ff:fe6e:7300%eth0", "fd00:ec2::254"].map(ping),
    ];
    const results = await reach(machine, targets);
    const reached = targets.filter((_target, index) => REACHED.includes(results[index] ?? ""));
    expect(reached).toEqual([]);
    expect(await internet.seen()).toEqual([]);
  });

  test("the host's loopback is out of reach, of frames past the guest's own rules too", async () => {
    const hosts = ["127.0.0.1", "127.0.0.2", GATEWAY, hostEnd(), HOST.private, HOST.open];
    const everybody = ["255.255.255.255", "224.0.0.1", "10.77.0.255", "0.0.0.0"];
    const targets = [...hosts, ...everybody].map((host) =>
      frame(host, `to ${host}`, { port: hostPort }),
    );
    // A source of the host's own loopback is no way in either.
    const spoofed = frame(HOST.private, "from loopback", { port: hostPort, source: "127.0.0.1" });
    await reach(machine, [...targets, spoofed]);
    // In the order in which they are sent: when this one has arrived, they would have.
    await reach(machine, [frame(HOSTS.web, "a frame"), udp(HOSTS.web, "the last")]);
    expect(await textsSeen()).toEqual(["a frame", "the last"]);
    expect(await arrivedOnHost()).toEqual([]);
  });

  test("nothing leaves from an address that is not the machine's", async () => {
    const sources = ["10.77.0.99", "203.0.113.99", "198.18.0.1", HOST.open, "127.0.0.1"];
    const targets = [
      ...sources.map((source) => frame(HOSTS.web, `from ${source}`, { source })),
      ...sources.slice(0, 3).map((source) => udp(HOSTS.web, `bound to ${source}`, { source })),
      frame(HOSTS.web, "from another card", { mac: "52:54:00:12:34:56" }),
    ];
    await reach(machine, targets);
    await reach(machine, [udp(HOSTS.web, "from itself")]);
    expect(await textsSeen()).toEqual(["from itself"]);
  });

  test("another machine is out of reach", async () => {
    await using other = await server.client.machines.create();
    await other.commands.run(`python3 -m http.server 8080 --bind 0.0.0.0`, { background: true });
    await until("the other machine listens", async () => {
      const { exitCode } = await other.commands.run("curl -sS http://127.0.0.1:8080/ >/dev/null");
      return exitCode === 0;
    });
    const ends = networksOf(home).namespaces.flatMap((namespace) => {
      const shown = execFileSync("ip", ["-n", namespace, "-o", "-4", "address", "show", "uplink"], {
        encoding: "utf8",
      });
      return /198\.18\.\d+\.\d+/.exec(shown)?.[0] ?? [];
    });
    expect(ends.length).toBeGreaterThan(1);
    const results = await reach(
      machine,
      ends.flatMap((end) => [tcp(end, 8080), ping(end)]),
    );
    expect(results.filter((result) => REACHED.includes(result))).toEqual([]);
  });
});

describe("custom policies", () => {
  test("ranges open what they name, private ones too, and nothing else", async () => {
    await machine.updateEgress({
      allowCidrs: [`${HOSTS.neighbour}/32`, `${HOST.private}/32`, HOSTS.metadata, "203.0.113.0/24"],
      denyCidrs: [HOSTS.other],
    });
    const open = [
      tcp(HOSTS.web),
      tcp(HOSTS.neighbour),
      tcp(HOSTS.metadata, HTTP_PORT),
      tcp(HOST.private, hostPort),
    ];
    const closed = [
      tcp(HOSTS.other),
      tcp(HOST.open, hostPort),
      ping(HOSTS.other),
      name("web.test"),
    ];
    const results = await reach(machine, [...open, ...closed]);
    expect(results.slice(0, open.length)).toEqual(open.map(() => "connected"));
    expect(results.slice(open.length).filter((result) => REACHED.includes(result))).toEqual([]);
    expect(results.at(-1)).toBe("no such name");
  });

  test("all of the Internet but some names no private address", async () => {
    await machine.updateEgress({
      allowCidrs: ["0.0.0.0/0", HOSTS.metadata],
      denyCidrs: [HOSTS.other],
    });
    const open = [tcp(HOSTS.web), name("web.test"), tcp(HOSTS.metadata, HTTP_PORT)];
    const closedTargets = [tcp(HOSTS.other), tcp(HOSTS.neighbour)];
    const [web, resolved, named, ...closed] = await reach(machine, [...open, ...closedTargets]);
    expect([web, resolved, named]).toEqual(["connected", HOSTS.web, "connected"]);
    expect(closed.filter((result) => REACHED.includes(result))).toEqual([]);
  });

  test("names open their addresses, and no other resolver is reached", async () => {
    await machine.updateEgress({ allowDomains: ["web.test", "*.wild.test", "inside.test"] });
    await internet.seen();
    // Before it is asked for, an address is nobody's.
    expect(await reach(machine, [tcp(HOSTS.web)])).not.toEqual(["connected"]);
    const names = [
      "web.test",
      "a.b.wild.test",
      "inside.test",
      "other.test",
      "secret.evil.test",
    ].map(name);
    expect(await reach(machine, names)).toEqual([
      HOSTS.web,
      HOSTS.other,
      HOSTS.neighbour,
      "no such name",
      "no such name",
    ]);
    const asked = (await internet.seen()).filter((line) => line.startsWith("dns"));
    expect(new Set(asked)).toEqual(
      new Set(["dns web.test", "dns a.b.wild.test", "dns inside.test"]),
    );
    const [web, other, ...closed] = await reach(machine, [
      tcp(HOSTS.web),
      tcp(HOSTS.other),
      // A name does not lead into a private network.
      tcp(HOSTS.neighbour),
      udp(HOSTS.dns, "a question", { port: 53 }),
      tcp(HOSTS.dns),
    ]);
    expect([web, other]).toEqual(["connected", "connected"]);
    expect(closed.filter((result) => REACHED.includes(result))).toEqual([]);
    expect(await internet.seen()).toEqual([]);
  });

  test("a machine without a network hears so at once, and gets one when it may", async () => {
    await machine.updateEgress("denyAll");
    expect(await reach(machine, [tcp(HOSTS.web)])).toEqual(["Network is unreachable"]);
    await machine.updateEgress({
      allowCidrs: [HOSTS.web],
      rateLimit: { kbitPerSecond: 20_000 },
    });
    expect(await reach(machine, [tcp(HOSTS.web)])).toEqual(["connected"]);
    const limited = networksOf(home).namespaces.filter((namespace) =>
      execFileSync("tc", ["-n", namespace, "qdisc", "show"], { encoding: "utf8" }).includes(
        "rate 20Mbit",
      ),
    );
    expect(limited).toHaveLength(1);
    await machine.updateEgress("allowAll");
  });

  test("a policy that is none is refused, and the former one stays", async () => {
    for (const policy of [
      { allowCidrs: ["203.0.113.7/24"] },
      { allowCidrs: ["::/0"] },
      { denyCidrs: ["all"] },
      { allowDomains: ["http://web.test"] },
      { rateLimit: { kbitPerSecond: 1 } },
    ]) {
      await expect(machine.updateEgress(policy)).rejects.toMatchObject({
        reason: "INVALID_ARGUMENT",
      });
    }
    expect(await machine.getInfo({ fields: ["egress"] })).toEqual({ egress: "allowAll" });
  });
});

/** Holds a connection to each host, and sends and receives over all of them for each line it reads. */
const HOLD = `
import socket, sys
held = {}
for host in sys.argv[1:]:
    held[host] = socket.create_connection((host, ${ECHO_PORT}), 10)
    held[host].settimeout(5)
print("held", flush=True)
for line in sys.stdin:
    results = []
    for host, s in held.items():
        try:
            s.sendall(b"again")
            results.append("alive" if s.recv(5) == b"again" else "ended")
        except OSError as e: results.append(type(e).__name__)
    print(" ".join(results), flush=True)
`;

class Held {
  readonly #command: CommandHandle;
  readonly #lines: AsyncIterator<string, undefined>;

  constructor(command: CommandHandle) {
    this.#command = command;
    this.#lines = linesOf(command);
  }

  static async open(on: Machine, hosts: string[]): Promise<Held> {
    const command = await on.commands.run("python3", {
      args: ["-uc", HOLD, ...hosts],
      background: true,
    });
    const held = new Held(command);
    const first = await held.next();
    if (first !== "held") throw new Error(`instead of connecting: ${first}`);
    return held;
  }

  async next(): Promise<string> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error("the program has ended");
    return line.value;
  }

  async again(): Promise<string> {
    await this.#command.sendStdin("again\n");
    return this.next();
  }
}

async function* linesOf(command: CommandHandle): AsyncGenerator<string, undefined> {
  let rest = "";
  for await (const { text } of command) {
    rest += text;
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  return undefined;
}

test("a change keeps connections that are allowed and cuts those that are not", async () => {
  await machine.updateEgress({ allowDomains: ["web.test", "other.test"], allowCidrs: [] });
  await reach(machine, [name("web.test"), name("other.test")]);
  const byName = await Held.open(machine, [HOSTS.web, HOSTS.other]);
  expect(await byName.again()).toBe("alive alive");
  await machine.updateEgress({ allowDomains: ["web.test"] });
  expect(await byName.again()).toBe("alive ConnectionResetError");
  await machine.updateEgress({ allowCidrs: ["203.0.113.0/24"] });
  const byRange = await Held.open(machine, [HOSTS.web, HOSTS.other]);
  await machine.updateEgress({ allowCidrs: [HOSTS.web] });
  expect(await byRange.again()).toBe("alive ConnectionResetError");
});

test("a fork, a resumed machine and a server that starts anew keep the policy", async () => {
  const policy = { allowCidrs: [HOSTS.web], denyCidrs: [], allowDomains: ["other.test"] };
  await machine.updateEgress(policy);
  const held = await Held.open(machine, [HOSTS.web]);
  const check = async (one: Machine) => {
    expect(await one.getInfo({ fields: ["egress"] })).toEqual({ egress: policy });
    const targets = [tcp(HOSTS.web), tcp(HOSTS.other), tcp(HOSTS.neighbour), name("web.test")];
    const [web, ...closed] = await reach(one, targets);
    expect(web).toBe("connected");
    expect(closed.filter((result) => REACHED.includes(result) || result === HOSTS.web)).toEqual([]);
    expect(await reach(one, [name("other.test")])).toEqual([HOSTS.other]);
    expect(await reach(one, [tcp(HOSTS.other)])).toEqual(["connected"]);
  };

  const child = await machine.fork();
  await check(child);
  expect(await held.again()).toBe("alive");

  const { id: snapshotId } = await child.pause();
  const resumed = await server.client.machines.resume(snapshotId);
  await check(resumed);
  await resumed.kill();

  await server.stop("SIGKILL");
  server = await startServer({ home, args: ["--dns", HOSTS.dns] });
  const again = await server.client.machines.connect(machine.id);
  machine = again;
  // Its network went on without a server.
  const { stdout } = await again.commands.run(`curl -sS http://${HOSTS.web}/`);
  expect(stdout).toBe(`hello from ${HOSTS.web}\n`);
  await check(again);
  await again.updateEgress("allowAll");
  expect(await reach(again, [tcp(HOSTS.other)])).toEqual(["connected"]);
});

test("nullspace doctor egress finds nothing within reach", async () => {
  const doctor = () =>
    spawnSync(process.execPath, [CLI, "doctor", "egress", "--json", "--machine", machine.id], {
      encoding: "utf8",
      env: { ...process.env, NULLSPACE_API_URL: server.url, NULLSPACE_API_KEY: server.apiKey },
    });
  const { stdout: output, status } = doctor();
  expect(status).toBe(0);
  const report: unknown = JSON.parse(output);
  expect(report).toMatchObject({ ok: true });
  // With everything allowed there is less to try; what is tried includes this computer.
  expect(report).toHaveProperty("findings.20");
  expect(output).toContain(HOST.private);

  // It tells what a policy has opened.
  await machine.updateEgress({ allowCidrs: [HOST.private] });
  const opened = doctor();
  expect(opened.status).toBe(1);
  expect(JSON.parse(opened.stdout)).toMatchObject({ ok: false });
  const reached = { what: "the host", kind: "ping", host: HOST.private, reached: true };
  expect(JSON.parse(opened.stdout)).toHaveProperty(
    "findings",
    expect.arrayContaining([expect.objectContaining(reached)]),
  );
});
