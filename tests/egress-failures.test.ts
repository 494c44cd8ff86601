import { execFileSync } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromJsonString } from "@bufbuild/protobuf";
import { MachineManifestSchema } from "@nullspace/proto/host";
import type { Machine } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { networksOf } from "./support/networks-of.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { reach, type Target } from "./support/reach.js";
import { startServer, type TestServer } from "./support/server.js";
import { ECHO_PORT, FLOOD_PORT, HOSTS, TestInternet } from "./support/test-internet.js";
import { until } from "./support/until.js";

let home: string;
let internet: TestInternet;
let server: TestServer;
let machine: Machine;
/** A folder with an `nft` that fails while there is a file beside it. */
let tools: string;

beforeAll(async () => {
  home = await linkHome(inject("preparedHome"));
  tools = await mkdtemp(join(tmpdir(), "nullspace-nft-"));
  const real = execFileSync("sh", ["-c", "command -v nft"], { encoding: "utf8" }).trim();
  await writeFile(
    join(tools, "nft"),
    `#!/bin/sh
rules=$(cat)
[ ! -e ${tools}/all ] || { echo "no rules today" >&2; exit 1; }
case $rules in *"add rule"*) [ ! -e ${tools}/policies ] || { echo "no policies today" >&2; exit 1; } ;; esac
printf '%s\\n' "$rules" | ${real} "$@"
`,
  );
  await chmod(join(tools, "nft"), 0o755);
  internet = await TestInternet.open();
  server = await startTestServer();
  machine = await server.client.machines.create({ timeoutSeconds: 0 });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await internet[Symbol.asyncDispose]();
  await removeHome(home);
  await rm(tools, { recursive: true });
});

async function startTestServer(env: NodeJS.ProcessEnv = {}): Promise<TestServer> {
  const path = `${tools}:${process.env["PATH"] ?? ""}`;
  return await startServer({ home, args: ["--dns", HOSTS.dns], env: { PATH: path, ...env } });
}

const web: Target = { kind: "tcp", host: HOSTS.web, port: ECHO_PORT };

/** The rules of a network that let something pass. */
function openedIn(namespace: string): string[] {
  const listed = ["netns", "exec", namespace, "nft", "list", "chain", "inet", "machine", "allowed"];
  const shown = execFileSync("ip", listed, { encoding: "utf8" });
  return shown.split("\n").filter((line) => line.includes("accept"));
}

/** Receives a flood, says "start" whenever it ends, and notes how many packets were whole. */
const RECEIVER = `
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.5)
good = bad = 0
def note():
    with open("/dev/shm/flood.new", "w") as f: f.write(f"{good} {bad}")
    os.replace("/dev/shm/flood.new", "/dev/shm/flood")
note()
while True:
    try:
        packet = s.recv(65536)
        if packet == packet[:16] * 60 and packet[:16].isdigit(): good += 1
        else: bad += 1
        if (good + bad) % 100 == 0: note()
    except OSError:
        try: s.sendto(b"start", ("${HOSTS.web}", ${FLOOD_PORT}))
        except OSError: pass
`;

async function flooded(one: Machine): Promise<{ good: number; bad: number }> {
  if (!(await one.files.exists("/dev/shm/flood"))) return { good: 0, bad: 0 };
  const [good = 0, bad = 0] = (await one.files.read("/dev/shm/flood")).split(" ").map(Number);
  return { good, bad };
}

/** The machine takes more packets than its card has buffers for, several times over, and all of them whole. */
async function takesMore(one: Machine): Promise<void> {
  const before = await flooded(one);
  const enough = before.good + 800;
  const { bad } = await until("a flood is received", async () => {
    const now = await flooded(one);
    return now.good > enough && now;
  });
  expect(bad).toBe(0);
  const { stdout } = await one.commands.run("sha256sum --status -c /dev/shm/sums && dmesg", {
    user: "root",
  });
  expect(stdout).toContain("Linux version");
  // What the kernel's driver and its watchdogs say of a card that they no longer understand.
  const complaint = /is not a head|Unexpected TXQ|broken|BUG:|Oops|WATCHDOG|Call Trace/;
  expect(stdout.split("\n").filter((line) => complaint.test(line))).toEqual([]);
}

test("captures of a machine that packets rush in on are consistent, to the third generation", async () => {
  await machine.commands.run(
    "head -c 8000000 /dev/urandom >/dev/shm/kept && sha256sum /dev/shm/kept >/dev/shm/sums",
  );
  await machine.commands.run("python3", { args: ["-c", RECEIVER], background: true });
  await until("the flood begins", async () => (await flooded(machine)).good > 0);
  await takesMore(machine);
  const child = await machine.fork();
  await takesMore(child);
  const { id } = await child.pause();
  await using resumed = await server.client.machines.resume(id);
  await takesMore(resumed);
  await using grandchild = await resumed.fork();
  await takesMore(grandchild);
  // The source has gone on through all of it, and so has its policy.
  await takesMore(machine);
  expect(await machine.getInfo({ fields: ["egress"] })).toEqual({ egress: "allowAll" });
});

test("what has no network has none after it is forked, paused and resumed", async () => {
  await machine.updateEgress("denyAll");
  const child = await machine.fork();
  expect(await reach(child, [web])).toEqual(["Network is unreachable"]);
  const { id } = await child.pause();
  await using resumed = await server.client.machines.resume(id);
  expect(await resumed.getInfo({ fields: ["egress"] })).toEqual({ egress: "denyAll" });
  expect(await reach(resumed, [web])).toEqual(["Network is unreachable"]);
  await resumed.updateEgress({ allowCidrs: [HOSTS.web] });
  expect(await reach(resumed, [web])).toEqual(["connected"]);
  await machine.updateEgress("allowAll");
  expect(await reach(machine, [web])).toEqual(["connected"]);
});

test.each(["policies", "all"])(
  "when rules fail (%s) nothing passes until they hold",
  async (mode) => {
    const flag = join(tools, mode);
    await machine.updateEgress("allowAll");
    const before = networksOf(home).namespaces;
    await writeFile(flag, "");
    try {
      await expect(machine.updateEgress({ allowCidrs: [HOSTS.web] })).rejects.toMatchObject({
        reason: "EGRESS_NOT_APPLIED",
        retryable: true,
      });
      // The guest's kernel learns a moment later that its card has lost its link.
      expect(await reach(machine, [web])).toEqual([
        expect.stringMatching(/silence|Network is unreachable/),
      ]);
      // Where no rules can be changed at all, the link alone keeps the machine back.
      expect(openedIn(await networkOf(machine)).length > 0).toBe(mode === "all");
      // What cannot be held to its policy is not started.
      await expect(
        server.client.machines.create({ network: { egress: { allowCidrs: [HOSTS.web] } } }),
      ).rejects.toMatchObject({ reason: "NETWORK_SETUP_FAILED", retryable: true });
      const left = networksOf(home).namespaces.filter((one) => !before.includes(one));
      expect(left).toEqual([]);
    } finally {
      await rm(flag);
    }
    // The record has the new policy, and the next attempt brings the host to it.
    await machine.updateEgress({ allowCidrs: [HOSTS.web] });
    expect(openedIn(await networkOf(machine))).toEqual([
      expect.stringContaining("status dnat accept"),
      expect.stringContaining(HOSTS.web),
    ]);
    expect(await reach(machine, [web, { ...web, host: HOSTS.other }])).toEqual([
      "connected",
      expect.stringMatching(/silence|unreachable|prohibited|No route/),
    ]);
  },
);

/** The namespace of a machine's network, as its record on the host names it. */
async function networkOf({ id }: Machine): Promise<string> {
  const { slot = 0 } = (await recordOf(id)).network ?? {};
  const name = networksOf(home).namespaces.find((one) =>
    one.endsWith(`-${slot.toString(16).padStart(4, "0")}`),
  );
  if (name === undefined) throw new Error(`machine ${id} has no network`);
  return name;
}

async function recordOf(id: string) {
  return fromJsonString(
    MachineManifestSchema,
    await readFile(join(home, "machines", id, "machine.json"), "utf8"),
  );
}

test("kill -9 of the server leaves nothing behind once another has looked", async () => {
  // One dies with its server, and has all that a network can have.
  const dead = await server.client.machines.create({
    network: {
      egress: {
        allowCidrs: [HOSTS.neighbour],
        allowDomains: ["web.test"],
        rateLimit: { kbitPerSecond: 5000 },
      },
    },
  });
  const gone = await networkOf(dead);
  const { pid } = await recordOf(dead.id);
  await server.stop("SIGKILL");
  process.kill(pid, "SIGKILL");
  server = await startTestServer({ NULLSPACE_FAULT_POINT: "start-network-noted" });
  await expect(server.client.machines.create({ requestTimeoutMs: 20_000 })).rejects.toMatchObject({
    retryable: true,
  });
  server = await startTestServer();
  await until("only networks that are used or wait are left", () => {
    const { namespaces, links } = networksOf(home);
    // That of the machine that goes on, and two that wait.
    const settled = namespaces.length === 3 && links.length === 3 && !namespaces.includes(gone);
    return Promise.resolve(settled);
  });
  await server.client.machines.kill(machine.id);
  await server.stop();
  expect(networksOf(home)).toEqual({ namespaces: [], links: [], tables: [] });
});
