import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile, stat, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { type Machine, Nullspace } from "@nullspace/sdk";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { BEFORE_SSH, type Nginx, startNginx } from "./support/nginx.js";
import { startServer, type TestServer } from "./support/server.js";
import {
  EchoSession,
  ended,
  keygen,
  newKey,
  SharedConnection,
  sign,
  SshClient,
} from "./support/ssh.js";
import { until } from "./support/until.js";

let server: TestServer;
let machine: Machine;
let client: SshClient;
/** An access that ends while the others are tested, and a session with it. */
let brief: { client: SshClient; session: EchoSession };
let nginx: Nginx;
/** A session through nginx that nobody uses while the others are tested. */
let idle: { client: SshClient; session: EchoSession };
/** What an editor keeps open for as long as it runs. */
let editor: SharedConnection;
/** What servers before this one logged. */
let formerLog = "";

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
  machine = await server.client.machines.create({
    timeoutSeconds: 0,
    envs: { GREETING: `it's "fine" \\o/` },
  });
  client = await SshClient.open(machine);
  const shortest = await SshClient.open(machine, 1);
  brief = { client: shortest, session: await EchoSession.open(shortest) };
  nginx = await startNginx(server.url, BEFORE_SSH);
  const behind = await SshClient.open(machine, 10, nginx.url);
  idle = { client: behind, session: await EchoSession.open(behind) };
  editor = await SharedConnection.open(client);
});

afterAll(async () => {
  for (const { session, client: own } of [brief, idle]) {
    session[Symbol.dispose]();
    await own[Symbol.asyncDispose]();
  }
  await editor[Symbol.asyncDispose]();
  await nginx[Symbol.asyncDispose]();
  await client[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

/** Where the CLI keeps what lasts: a folder of the test's own. */
const cliEnv = () => ({
  ...process.env,
  NULLSPACE_API_URL: server.url,
  NULLSPACE_API_KEY: server.apiKey,
  XDG_CONFIG_HOME: client.folder,
});

/** Runs `nullspace ssh` to its end. */
async function nullspaceSsh(args: readonly string[], input = "") {
  const cli = new URL("../packages/cli/dist/main.js", import.meta.url).pathname;
  return ended(spawn(process.execPath, [cli, "ssh", ...args], { env: cliEnv() }), input);
}

/** The file of ssh's configuration that `nullspace ssh config` names. */
async function sshConfig(id: string): Promise<string> {
  const { stdout } = await nullspaceSsh(["config", id]);
  return /^Match all\nInclude "(.*)"\n$/.exec(stdout)?.[1] ?? "";
}

/** Connections that stay while the others come and go: one that nobody uses, and the editor's. */
const LASTING = 2;

/** Waits until so many are left: what has ended for its client may not have been noted yet. */
async function untilOpen(count: number): Promise<void> {
  await until(`${count} open connections`, async () => {
    const { usage } = await server.client.projects.get();
    return usage.sshConnections === count;
  });
}

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const port = portOf(listener);
  listener.close();
  await once(listener, "close");
  return port;
}

function portOf(listener: Server): number {
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

describe("stock OpenSSH", () => {
  test("runs a command: streams, exit code, the machine's environment", async () => {
    const bytes = randomBytes(100_000);
    const command = `cat; echo "$GREETING $(id -un)" >&2; exit 7`;
    const run = await client.run(command, {}, bytes);
    expect({ code: run.code, stderr: run.stderr }).toEqual({
      code: 7,
      stderr: `it's "fine" \\o/ user\n`,
    });
    expect(Buffer.from(run.stdout, "latin1").equals(bytes)).toBe(true);
  });

  test("logs in as root as well, in a terminal", async () => {
    const args = ["-tt", "-A", client.machineId, "id -un; tty; ssh-add -l"];
    const { stdout } = await ended(client.start(args, { user: "root" }));
    const [user, terminal, agent] = stdout.split("\r\n");
    expect(user).toBe("root");
    expect(terminal).toMatch(/^\/dev\/pts\/\d+$/);
    expect(agent).toMatch(/Could not open a connection to your authentication agent/);
  });

  test("scp and rsync carry files both ways, unchanged", async () => {
    const bytes = randomBytes(1_500_000);
    await writeFile(client.path("blob"), bytes);
    const host = client.machineId;
    const up = await ended(
      client.spawn("scp", [...client.options(), client.path("blob"), `${host}:/workspace/blob`]),
    );
    expect(up).toMatchObject({ code: 0 });
    const { stdout } = await machine.commands.run("sha256sum < /workspace/blob");
    expect(stdout.slice(0, 64)).toBe(digest(bytes));

    const shell = ["ssh", ...client.options()].map((word) => `'${word.replaceAll("'", `''`)}'`);
    const rsync = ["--checksum", "-e", shell.join(" ")];
    const from = `${host}:/workspace/blob`;
    const down = await ended(client.spawn("rsync", [...rsync, from, client.path("copy")]));
    expect(down).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(digest(await readFile(client.path("copy")))).toBe(digest(bytes));
  });

  test("forwards ports, of a service that only the machine's loopback has", async () => {
    const body = randomBytes(300_000);
    await machine.files.write("/workspace/served/body", body);
    const serve = "python3 -m http.server --bind 127.0.0.1 --directory /workspace/served 8000";
    const service = await machine.commands.run(serve, { background: true });
    const [local, socks] = [await freePort(), await freePort()];
    const forwards = ["-N", "-L", `${local}:127.0.0.1:8000`, "-D", `127.0.0.1:${socks}`];
    const ssh = client.start([...forwards, client.machineId]);
    const closed = once(ssh, "close");
    try {
      const answer = await until("the forwarded port", async () =>
        fetch(`http://127.0.0.1:${local}/body`).catch(() => undefined),
      );
      expect(digest(await answer.bytes())).toBe(digest(body));
      const through = ["--socks5-hostname", `127.0.0.1:${socks}`, "-o", client.path("socks")];
      const curl = client.spawn("curl", ["-sS", ...through, "http://localhost:8000/body"]);
      expect(await ended(curl)).toEqual({ code: 0, stdout: "", stderr: "" });
      expect(digest(await readFile(client.path("socks")))).toBe(digest(body));
    } finally {
      ssh.kill();
      await closed;
      await service.kill();
    }
  });

  test("comes through the server as an HTTP proxy too, by the tools of Debian", async () => {
    const { hostname, port } = new URL(server.url);
    const proxy = `corkscrew ${hostname} ${port} %h %p ${client.path("relay-auth")}`;
    await writeFile(client.path("relay-auth"), `relay:${client.access.relayToken}\n`);
    expect(await client.run("echo in", { proxy })).toEqual({ code: 0, stdout: "in\n", stderr: "" });
    await writeFile(client.path("relay-auth"), `relay:${server.apiKey}\n`);
    const refused = await client.run("echo in", { proxy });
    expect(refused).toMatchObject({ code: 255, stdout: "" });
    expect(refused.stderr).toContain("Proxy Authentication Required");
  });

  test("nullspace ssh and nullspace ssh config do all of it", async () => {
    const forOnce = [`root@${machine.id}`, "-C", "cat; id -un; exit 9"];
    expect(await nullspaceSsh(forOnce, "from stdin")).toEqual({
      code: 9,
      stdout: "from stdinroot\n",
      stderr: "",
    });
    const file = await sshConfig(machine.id);
    expect(((await stat(join(file, ".."))).mode & 0o777).toString(8)).toBe("700");
    const ssh = spawn("ssh", ["-F", file, machine.id, "id -un"], { env: cliEnv() });
    expect(await ended(ssh)).toEqual({ code: 0, stdout: "user\n", stderr: "" });
    // The one for this once has ended with its session, the other is there to be used again.
    const accesses = (await machine.listSshAccess()).items;
    expect(accesses.slice(0, 2).map(({ revokedAt }) => revokedAt === undefined)).toEqual([
      true,
      false,
    ]);
  });
});

describe("what opens nothing", () => {
  test("keys without a certificate, passwords, and certificates of others, older or for others", async () => {
    const authority = join(server.home, "ssh-authority");
    expect(((await stat(authority)).mode & 0o777).toString(8)).toBe("600");
    const key = client.path("other");
    const publicKey = await newKey(key);
    // The machine's user trusts the key and has a password; sshd cares for neither.
    await machine.commands.run(
      "mkdir -p ~/.ssh && cat > ~/.ssh/authorized_keys && echo user:secret | sudo chpasswd",
      { stdin: publicKey },
    );
    const refused = async (certificate: string) => {
      const { code, stderr } = await client.run("true", { key, certificate });
      expect(code).toBe(255);
      expect(stderr).toContain("Permission denied (publickey).");
    };
    await refused("");
    const good = { principal: machine.id, validity: "-5m:+5m" };
    const sign2 = async (ca: string, request: typeof good) => sign(ca, `${key}.pub`, request);
    await refused(await sign2(authority, { ...good, validity: "-10m:-5m" }));
    await refused(await sign2(authority, { ...good, principal: "user" }));
    await newKey(client.path("authority"));
    await refused(await sign2(client.path("authority"), good));
    // What was wrong with them was that and nothing else.
    const certificate = await sign2(authority, good);
    expect(await client.run("echo in", { key, certificate })).toMatchObject({ stdout: "in\n" });
  });

  test("a certificate allows a terminal and forwarding, for the machine, as long as was asked for", async () => {
    const shown = await keygen(["-L", "-f", client.path("certificate.pub")]);
    const [, extensions = ""] = shown.split("Extensions: ");
    expect(extensions.trim().split(/\s+/)).toEqual(["permit-port-forwarding", "permit-pty"]);
    expect(shown).toMatch(
      new RegExp(`Principals: \\s+${machine.id}\\s+Critical Options: \\(none\\)`),
    );
    const times =
      /from (\S+) to (\S+)/
        .exec(shown)
        ?.slice(1)
        .map((time) => Date.parse(time)) ?? [];
    expect(((times[1] ?? 0) - (times[0] ?? 0)) / 60_000).toBeCloseTo(11, 0);
  });
});

test("who may not use the machine is not let in: another project's key, and one without the scope", async () => {
  const { keys, projects } = server.client;
  await projects.create("strangers");
  const publicKey = await newKey(client.path("stranger"));
  const refusal = async (secret: string) => {
    await using other = new Nullspace({ url: server.url, apiKey: secret });
    const granting = other.machines.createSshAccess(machine.id, { publicKey });
    return await granting.catch((error: unknown) => error);
  };
  const { secret: stranger } = await keys.create("stranger", { project: "strangers" });
  expect(await refusal(stranger)).toMatchObject({ reason: "MACHINE_NOT_FOUND" });
  const { secret: reader } = await keys.create("reader", {
    scopes: ["machines:write", "ssh:read"],
  });
  expect(await refusal(reader)).toMatchObject({
    reason: "SCOPE_MISSING",
    details: { scope: "ssh:write" },
  });
});

test("a fork is another machine: its parent's session goes on, its parent's certificate opens nothing; so is what wakes", async () => {
  using session = await EchoSession.open(client);
  const child = await machine.fork();
  await session.echo("still-there");
  await using own = await SshClient.open(child);
  expect(own.access.knownHosts.split(" ")[2]).not.toBe(client.access.knownHosts.split(" ")[2]);
  const parts = { key: client.path("id"), certificate: client.path("certificate.pub") };
  const asParent = await own.run("true", parts);
  expect(asParent).toMatchObject({ code: 255 });
  expect(asParent.stderr).toContain("Permission denied (publickey).");
  // Nor does the parent's token lead to the child.
  const relay = { url: own.access.relayUrl, token: client.access.relayToken };
  await writeFile(
    own.path("relay.json"),
    JSON.stringify({ ...own.access, server: "", accessId: "", ...relay }),
  );
  const misled = await own.run("true");
  expect(misled.stderr).toContain("this is no relay token of this machine");
  // The copy of the parent's session has ended in the child.
  await until("the copied session's end", async () => {
    const { stdout } = await child.commands.run("pgrep -fc '[s]shd: user' || true");
    return stdout === "0\n";
  });
  await session.echo("and-after");

  // ssh itself wakes it, though the machine that wakes is another one again.
  const { id } = child;
  const file = await sshConfig(id);
  await child.pause();
  const woken = spawn("ssh", ["-F", file, id, "hostname"], { env: cliEnv() });
  const { code, stdout: hostname } = await ended(woken);
  expect({ code, isAnother: hostname.trim() !== id }).toEqual({ code: 0, isAnother: true });
  await server.client.machines.kill(hostname.trim());
});

test("an editor's connection carries commands, files and forwarded ports side by side, for long, over snapshots and forks", async () => {
  const { host } = editor;
  const connections = async () => {
    const { items } = await server.client.events.list({ machineId: machine.id, limit: 100 });
    return items.filter(({ type }) => type === "ssh.connected").length;
  };
  const before = await connections();
  const content = randomBytes(2_000_000);
  await machine.files.write("/workspace/served/content", content);
  const services = await machine.commands.run(
    "python3 -m http.server --bind 127.0.0.1 --directory /workspace/served 8001",
    { background: true },
  );
  const { ready } = await machine.waitForPreview(8001, { path: "/" });
  expect(ready).toBe(true);
  const own = createHttpServer((_, response) => response.end("of this computer")).listen(
    0,
    "127.0.0.1",
  );
  await once(own, "listening");
  const [local, socks] = [await freePort(), await freePort()];
  await editor.control(["-O", "forward", "-L", `${local}:127.0.0.1:8001`]);
  await editor.control(["-O", "forward", "-D", `127.0.0.1:${socks}`]);
  await editor.control(["-O", "forward", "-R", `8002:127.0.0.1:${portOf(own)}`]);

  const viaLocal = async () => {
    const answer = await fetch(`http://127.0.0.1:${local}/content`);
    expect(digest(await answer.bytes())).toBe(digest(content));
  };
  const viaSocks = async () => {
    const out = client.path("through-socks");
    const curl = ["-sS", "--socks5-hostname", `127.0.0.1:${socks}`, "-o", out];
    expect(await ended(spawn("curl", [...curl, "http://localhost:8001/content"]))).toMatchObject({
      code: 0,
      stderr: "",
    });
    expect(digest(await readFile(out))).toBe(digest(content));
  };
  const viaRemote = async () => {
    const curl = await ended(editor.start("ssh", [host, "curl -sS http://127.0.0.1:8002/"]));
    expect(curl).toEqual({ code: 0, stdout: "of this computer", stderr: "" });
  };
  const viaSftp = async (name: string) => {
    const [up, down] = [client.path(name), client.path(`${name}-back`)];
    const bytes = randomBytes(500_000);
    await writeFile(up, bytes);
    const batch = `put ${up} /workspace/${name}\nget /workspace/${name} ${down}\n`;
    expect(await ended(editor.start("sftp", ["-q", "-b", "-", host]), batch)).toMatchObject({
      code: 0,
      stderr: "",
    });
    expect(digest(await readFile(down))).toBe(digest(bytes));
  };
  // As the editor's own program in the machine: it talks all the time, about little.
  using talk = await EchoSession.start(editor.start("ssh", [host, "echo ready; exec cat"]));
  const chat = async (about: string) => {
    for (let word = 0; word < 20; word++) await talk.echo(`${about}-${word}`);
  };
  const everything = async (round: string) =>
    Promise.all([viaLocal(), viaSocks(), viaRemote(), viaSftp(`file-${round}`), chat(round)]);
  try {
    await everything("first");
    const snapshot = await machine.createSnapshot();
    await talk.echo("after-the-snapshot");
    const [child] = await Promise.all([machine.fork(), viaLocal(), viaSftp("during")]);
    await everything("second");
    await child.kill();
    await server.client.snapshots.delete(snapshot.id);
    // All of it was one connection: the one from before the first test.
    expect(await editor.masterPid()).toBe(editor.pid);
    expect(await connections()).toBe(before);
  } finally {
    own.closeAllConnections();
    own.close();
    await services.kill();
  }
});

test("a session that is open when its access expires is cut then, and there is no other", async () => {
  const { access } = brief.client;
  expect(await brief.session.cut()).toBe(255);
  expect(Date.now()).toBeGreaterThanOrEqual(access.expiresAt.getTime());
  expect((await brief.client.run("true")).stderr).toContain("has expired or was revoked");
  const { items } = await server.client.events.list({ machineId: machine.id, limit: 100 });
  expect(
    items
      .filter(({ sshAccessId }) => sshAccessId === access.id)
      .map(({ type, cause }) => [type, cause]),
  ).toEqual([
    ["ssh.disconnected", "expired"],
    ["ssh.connected", "request"],
    ["ssh.access_created", "request"],
  ]);
});

test("nginx before the relay passes all of it on, also what nobody uses for longer than it waits", async () => {
  const bytes = randomBytes(300_000);
  const run = await idle.client.run("cat; exit 3", {}, bytes);
  expect({ code: run.code, stderr: run.stderr }).toEqual({ code: 3, stderr: "" });
  expect(Buffer.from(run.stdout, "latin1").equals(bytes)).toBe(true);
  // A minute has passed since it was opened, and nothing went through it but what keeps it alive.
  await idle.session.echo("still there");
});

test("more connections than the project may have are refused in words that ssh shows", async () => {
  const { projects } = server.client;
  await untilOpen(LASTING);
  await projects.setLimits("default", { sshConnections: LASTING });
  const refused = await client.run("true");
  expect(refused).toMatchObject({ code: 255, stdout: "" });
  expect(refused.stderr).toContain(
    `the project may have ${LASTING} SSH connections at a time. Close some, `,
  );
  const byCli = await nullspaceSsh([machine.id, "true"]);
  expect(byCli).toMatchObject({ code: 255, stdout: "" });
  expect(byCli.stderr).toContain("SSH connections at a time");
  // What is open goes on, and shares its connection with others.
  const shared = await ended(editor.start("ssh", [editor.host, "echo in"]));
  expect(shared).toMatchObject({ code: 0, stdout: "in\n" });
  await projects.setLimits("default", {});
  expect(await client.run("echo in")).toMatchObject({ code: 0, stdout: "in\n" });
});

test("what a server carried when it was killed has its end in the events of the next one, once", async () => {
  const ends = async () => {
    const { items } = await server.client.events.list({ machineId: machine.id, limit: 100 });
    const of = (wanted: string) => items.filter(({ type }) => type === wanted);
    return {
      open: of("ssh.connected").length - of("ssh.disconnected").length,
      lost: of("ssh.disconnected").filter(({ cause }) => cause === "server restart").length,
    };
  };
  using session = await EchoSession.open(client);
  const open = LASTING + 1;
  await untilOpen(open);
  expect(await ends()).toEqual({ open, lost: 0 });
  const again = async () => {
    await server.crash();
    formerLog += server.log;
    const { port } = new URL(server.url);
    server = await startServer({ home: server.home, args: ["--port", port] });
  };
  await again();
  expect(await session.cut()).toBe(255);
  expect(await ends()).toEqual({ open: 0, lost: open });
  expect((await server.client.projects.get()).usage.sshConnections).toBe(0);
  await again();
  expect(await ends()).toEqual({ open: 0, lost: open });
  machine = await server.client.machines.connect(machine.id);
});

test("revoking cuts a session, and so does killing the machine; each connection is an event", async () => {
  const other = await SshClient.open(machine);
  using revoked = await EchoSession.open(other);
  using killed = await EchoSession.open(client);
  await machine.revokeSshAccess(other.access.id);
  expect(await revoked.cut()).toBe(255);
  const again = await other.run("true");
  expect(again.stderr).toContain("has expired or was revoked");
  await killed.echo("not-mine");
  await machine.kill();
  expect(await killed.cut()).toBe(255);
  await other[Symbol.asyncDispose]();

  const events = await until("the last event", async () => {
    const { items } = await server.client.events.list({ machineId: machine.id, limit: 100 });
    const ends = items.filter(({ type }) => type === "ssh.disconnected");
    const begun = items.filter(({ type }) => type === "ssh.connected");
    return ends.length === begun.length && items;
  });
  const ofAccess = (id: string) =>
    events
      .filter(({ sshAccessId }) => sshAccessId === id)
      .map(({ type, cause }) => `${type} ${cause}`)
      .toReversed();
  expect(ofAccess(other.access.id)).toEqual([
    "ssh.access_created request",
    "ssh.connected request",
    "ssh.access_revoked request",
    "ssh.disconnected revoked",
  ]);
  expect(ofAccess(client.access.id).at(-1)).toBe("ssh.disconnected machine stopped");
});

test("no secret is in the server's log", async () => {
  const log = formerLog + server.log;
  expect(log).toContain("SshService");
  const secrets = [
    client.access.relayToken,
    client.access.relayToken.slice(-44),
    server.apiKey,
    client.access.certificate.split(" ")[1] ?? "?",
    (await readFile(join(server.home, "ssh-authority"), "utf8")).split("\n")[1] ?? "?",
  ];
  for (const secret of secrets) expect(log).not.toContain(secret);
});
