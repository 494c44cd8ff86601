import { execFile } from "node:child_process";
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Machine } from "@nullspace/sdk";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { parseJson } from "./support/json.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

/** Of Linux, that a process may have of its own. */
const NAMESPACES = ["mnt", "net", "ipc", "uts"] as const;

let server: TestServer;
let machine: Machine;
let other: Machine;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
  machine = await server.client.machines.create({ timeoutSeconds: 0 });
  // One that was saved once: its memory and disk lie in a snapshot as well.
  other = await server.client.machines.create({ timeoutSeconds: 0 });
  await other.createSnapshot();
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

/** Process of a machine's QEMU. */
async function qemuOf({ id }: Machine): Promise<number> {
  const record = await readFile(join(server.home, "machines", id, "machine.json"), "utf8");
  return Number(Reflect.get(Object(parseJson(record)), "pid"));
}

/** Fields of a process's status, by name. */
async function statusOf(pid: number): Promise<Record<string, string>> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Object.fromEntries(
    status.split("\n").map((line) => {
      const [name = "", value = ""] = line.split(":");
      return [name, value.trim()];
    }),
  );
}

/** Every file and socket below a folder. */
async function below(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((one) => join(one.parentPath, one.name));
}

/** Tries what it is told to, as `verb:what`; prints each that succeeds. */
const PROBE = String.raw`
use Socket;
sub found { print "$_\n" if $_[0] }
for (@ARGV) {
  my ($verb, $what) = split /:/, $_, 2;
  if ($verb eq "read") { found(open(my $file, "<", $what)) }
  elsif ($verb eq "write") { found(open(my $file, "+<", $what)) }
  elsif ($verb eq "signal") { found(kill("URG", $what)) }
  elsif ($verb eq "unix") { socket(my $s, PF_UNIX, SOCK_STREAM, 0); found(connect($s, pack_sockaddr_un($what))) }
  elsif ($verb eq "tcp") {
    my ($address, $port) = split /:/, $what;
    socket(my $s, PF_INET, SOCK_STREAM, 0);
    found(connect($s, pack_sockaddr_in($port, inet_aton($address))));
  }
}`;

/** What of its attempts succeeds for a program that runs where a QEMU does, as its user. */
async function succeeding(pid: number, attempts: readonly string[]): Promise<string[]> {
  const { Uid = "", Gid = "" } = await statusOf(pid);
  const [uid = ""] = Uid.split("\t");
  const [gid = ""] = Gid.split("\t");
  const place = ["--target", String(pid), "--mount", "--net", "--ipc", "--uts", "--root", "--wd"];
  const args = [...place, "--setuid", uid, "--setgid", gid, "/usr/bin/perl", "-", ...attempts];
  const running = promisify(execFile)("nsenter", args, { maxBuffer: 16 << 20 });
  running.child.stdin?.end(PROBE);
  const { stdout } = await running;
  return stdout.split("\n").filter((line) => line !== "");
}

describe("a QEMU", () => {
  test("is a user of its own without rights, in namespaces of its own, in a group with limits", async () => {
    const [pid, otherPid] = [await qemuOf(machine), await qemuOf(other)];
    const [status, otherStatus] = [await statusOf(pid), await statusOf(otherPid)];
    expect(status).toMatchObject({ CapEff: "0000000000000000", CapPrm: "0000000000000000" });
    expect(status).toMatchObject({ NoNewPrivs: "1", Seccomp: "2", Groups: "" });
    expect(status["Uid"]).not.toMatch(/\b0\b/);
    expect(status["Uid"]).not.toBe(otherStatus["Uid"]);
    for (const name of NAMESPACES) {
      const [own, others, ours] = await Promise.all(
        [pid, otherPid, process.pid].map((one) => readlink(`/proc/${one}/ns/${name}`)),
      );
      expect([others, ours]).not.toContain(own);
    }
    expect(await readFile(`/proc/${pid}/cgroup`, "utf8")).toContain(machine.id);
  });

  test("that is broken into reaches no file, process, socket or network of its host", async () => {
    const pid = await qemuOf(machine);
    const folder = join(server.home, "machines", machine.id);
    const { port } = new URL(server.url);
    const files = (await below(server.home)).filter((path) => !path.startsWith(folder));
    // There is something to be found.
    const names = ["nullspace.db", "credentials.json", `${other.id}/qmp.sock`, "memory.pages"];
    expect(names.filter((name) => files.some((path) => path.endsWith(name)))).toEqual(names);
    const attempts = [
      ...files.flatMap((path) => [`read:${path}`, `unix:${path}`]),
      ...[
        "../../nullspace.db",
        `../${other.id}/console.log`,
        "/proc/self/status",
        "/etc/shadow",
      ].map((path) => `read:${path}`),
      ...["/dev/mem", "/dev/vda", "/dev/net/tun"].map((path) => `write:${path}`),
      `signal:${await qemuOf(other)}`,
      `signal:${server.pid}`,
      `tcp:127.0.0.1:${port}`,
    ];
    expect(await succeeding(pid, attempts)).toEqual([]);
    // The same look finds what is there.
    const own = ["read:/usr/bin/perl", "unix:qmp.sock", `unix:${join(folder, "qmp.sock")}`];
    expect(await succeeding(pid, own)).toEqual(own);
  });

  test("goes on as before: its machine is saved, forked and woken", async () => {
    await machine.commands.run("echo kept > /workspace/kept");
    const child = await machine.fork();
    expect(await child.files.read("/workspace/kept")).toBe("kept\n");
    await child.kill();
    const { id } = await machine.pause();
    machine = await server.client.machines.resume(id);
    expect(await machine.files.read("/workspace/kept")).toBe("kept\n");
  });
});
