import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Machine, SnapshotIncompatibleError } from "@nullspace/sdk";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { expectNothingLeft } from "./support/leaks.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

/** Counts in memory, into a flushed file, into tmpfs and over a socket of its own. */
const COUNT = `python3 -uc '
import os, socket, time
a, b = socket.socketpair()
disk, memory = open("/workspace/count", "a"), open("/dev/shm/count", "a")
i = 0
while True:
    a.send(b"%d " % (i + 1))
    i = int(b.recv(64))
    for f in (disk, memory): f.write(f"{i}\\n"); f.flush()
    os.fsync(disk.fileno())
    print(i)
    time.sleep(0.05)
'`;

/** Lines counted and lines out of order, of both files. */
const CHECK = `until [ -s /dev/shm/count ]; do sleep 0.1; done; for f in /workspace/count /dev/shm/count; do awk 'NR != $1 { bad++ } END { print NR, bad + 0 }' $f; done`;

/** Fails if a count has a gap or a repetition; gives how far it has come. */
async function counted(machine: Machine): Promise<number> {
  const { stdout } = await machine.commands.run(CHECK);
  const [disk, memory] = stdout
    .trim()
    .split("\n")
    .map((line) => line.split(" ").map(Number));
  expect([disk?.[1], memory?.[1]]).toEqual([0, 0]);
  return Math.min(disk?.[0] ?? 0, memory?.[0] ?? 0);
}

test("state is not lost on the first, second or third pause and resume", async () => {
  const { machines } = server.client;
  let machine = await machines.create({ timeoutSeconds: 0, envs: { KEPT: "yes" } });
  const first = machine.id;
  const counting = await machine.commands.run(COUNT, { background: true });
  let last = await counted(machine);
  for (let generation = 2; generation <= 4; generation++) {
    const snapshot = await machine.pause();
    expect(snapshot.machineId).toBe(machine.id);
    expect((await machines.getInfo(machine.id)).state).toBe("paused");
    const resumed = await machines.resume(snapshot.id);
    expect(resumed.id).not.toBe(machine.id);
    expect(resumed.receipt).toMatchObject({ kind: "pause", generation, entropyReseeded: true });
    const now = await counted(resumed);
    expect(now).toBeGreaterThan(last);
    last = now;
    machine = resumed;
  }
  // The command goes on with its kept log, and so does what it was started with.
  const { stdout } = await machine.commands.run("echo $KEPT; cat /run/nullspace/generation");
  expect(stdout).toBe("yes\n4\n");
  const log = await machine.commands.getLogs(counting.pid);
  expect(log.exitCode).toBeNull();
  expect(log.stdout).toContain(`\n${last}\n`);
  // An alias of an alias of an alias.
  expect((await machines.connect(first)).id).toBe(machine.id);
  await machine.kill();
  expect((await machines.getInfo(first)).state).toBe("killed");
  expect((await server.client.snapshots.list()).items).toEqual([]);
});

test("a machine that is paused as soon as it is there can be woken, again and again", async () => {
  const { machines } = server.client;
  let machine = await machines.create({ timeoutSeconds: 0 });
  for (let wake = 0; wake < 6; wake++) {
    const { id } = await machine.pause();
    machine = await machines.resume(id);
  }
  expect((await machine.commands.run("echo awake")).stdout).toBe("awake\n");
  await machine.kill();
});

test("eight children of one instant are eight machines", async () => {
  await using parent = await server.client.machines.create();
  await parent.commands.run("echo before > /workspace/file; python3 -c 'import secrets' ");
  const children = await parent.fork({ count: 8 });
  expect(children).toHaveLength(8);
  const identity = [
    "cat /etc/machine-id",
    "hostname",
    "cat /proc/sys/kernel/random/boot_id",
    "cat /proc/sys/kernel/random/uuid",
    "head -c 32 /dev/urandom | sha256sum",
    "python3 -c 'import random, secrets; print(random.random(), secrets.token_hex())'",
    "openssl rand -hex 16",
    "cat /etc/ssh/ssh_host_ed25519_key.pub",
  ];
  const seen: string[][] = [];
  for (const { machine, error } of children) {
    expect(error).toBeUndefined();
    if (machine === undefined) continue;
    expect(machine.receipt).toMatchObject({
      kind: "fork",
      entropyReseeded: true,
      identityRenewed: true,
    });
    const before = Date.now();
    const { stdout } = await machine.commands.run(`date +%s%3N; ${identity.join("; ")}`);
    const [time, ...facts] = stdout.trim().split("\n");
    expect(Number(time)).toBeGreaterThan(before - 100);
    expect(Number(time)).toBeLessThan(Date.now() + 100);
    expect(await machine.files.read("/workspace/file")).toBe("before\n");
    seen.push(facts);
    await machine.kill();
  }
  const different = identity.map((_, index) => new Set(seen.map((facts) => facts[index])).size);
  expect(different).toEqual(identity.map(() => 8));
});

/** Reads on until something has come, on a stream that was opened before. */
async function readUntil(
  stream: AsyncIterator<{ text: string }>,
  read: string,
  wanted: string,
): Promise<string> {
  let text = read;
  while (!text.includes(wanted)) {
    const piece = await stream.next();
    if (piece.done === true) throw new Error(`it ended without ${wanted}`);
    text += piece.value.text;
  }
  return text;
}

test("the parent's streams and terminals are untouched by twenty forks and by snapshots", async () => {
  await using parent = await server.client.machines.create();
  const stream = await parent.commands.run(COUNT, { background: true });
  const terminal = await parent.pty.create({ command: "cat", args: [] });
  const [numbers, screen] = [stream[Symbol.asyncIterator](), terminal[Symbol.asyncIterator]()];
  let [lines, typed] = ["", ""];
  const ended: Promise<void>[] = [];
  for (let capture = 1; capture <= 20; capture++) {
    lines = await readUntil(numbers, lines, `\n${capture * 2}\n`);
    await terminal.sendInput(`typed ${capture};\r`);
    typed = await readUntil(screen, typed, `typed ${capture};`);
    const child = await parent.fork();
    ended.push(child.kill());
    if (capture % 10 !== 0) continue;
    await server.client.snapshots.delete((await parent.createSnapshot()).id);
  }
  await Promise.all(ended);
  lines = await readUntil(numbers, lines, "\n60\n");
  const all = lines.trim().split("\n").map(Number);
  expect(all).toEqual(Array.from(all, (_, index) => index + 1));
  await terminal.sendInput("the end;\r");
  await readUntil(screen, typed, "the end;");
  await stream.kill();
  await terminal.kill();
  await Promise.all([numbers.return?.(), screen.return?.()]);
});

describe("a snapshot that must not be started from", () => {
  test("a flipped byte is found, the wake fails loudly, and the paused machine is still there", async () => {
    const { machines } = server.client;
    const machine = await machines.create({ timeoutSeconds: 0 });
    const snapshot = await machine.pause();
    for (const file of ["memory.pages", "memory.map", "devices", "disk.qcow2"]) {
      const path = join(server.home, "snapshots", snapshot.id, file);
      const good = await readFile(path);
      const bad = Buffer.from(good);
      const middle = Math.floor(bad.length / 2);
      bad.writeUInt8(bad.readUInt8(middle) ^ 1, middle);
      await chmod(path, 0o644);
      await writeFile(path, bad);
      const message: unknown = expect.stringContaining(file);
      const corrupted = { reason: "IMAGE_CORRUPTED", message };
      await expect(machines.resume(snapshot.id)).rejects.toMatchObject(corrupted);
      await expect(machines.connect(machine.id)).rejects.toMatchObject(corrupted);
      expect((await machines.getInfo(machine.id)).state).toBe("paused");
      await writeFile(path, good);
    }
    await (await machines.resume(snapshot.id)).kill();
  });

  test("one of another QEMU, CPU or kernel is refused before anything starts", async () => {
    await using machine = await server.client.machines.create();
    const snapshot = await machine.createSnapshot();
    const path = join(server.home, "snapshots", snapshot.id, "manifest.json");
    const manifest = await readFile(path, "utf8");
    for (const [from, to] of [
      [/"qemuVersion": "[^"]*"/, '"qemuVersion": "9.9.9"'],
      [/"cpuModel": "[^"]*"/, '"cpuModel": "Other"'],
      [/"kernelRelease": "[^"]*"/, '"kernelRelease": "1.0"'],
    ] as const) {
      await writeFile(path, manifest.replace(from, to));
      const create = server.client.machines.create({ snapshotId: snapshot.id });
      await expect(create).rejects.toBeInstanceOf(SnapshotIncompatibleError);
    }
    await writeFile(path, manifest);
    await server.client.snapshots.delete(snapshot.id);
  });
});

test("deleting a snapshot keeps what others need of it, and frees the rest", async () => {
  const { machines, snapshots } = server.client;
  const machine = await machines.create();
  await machine.commands.run(
    "head -c 5000000 /dev/urandom > /workspace/blob; sha256sum /workspace/blob > /workspace/sum",
  );
  const parent = await machine.createSnapshot({ name: "parent" });
  const child = await machines.create({ snapshotId: parent.id });
  const grandchild = await child.createSnapshot({ name: "child", metadata: { of: "parent" } });
  expect(grandchild.parentId).toBe(parent.id);
  await snapshots.delete(parent.id);
  await machine.kill();
  await child.kill();
  await expect(machines.create({ snapshotId: parent.id })).rejects.toMatchObject({
    reason: "SNAPSHOT_NOT_FOUND",
  });
  const last = await machines.create({ snapshotId: grandchild.id });
  expect((await last.commands.run("sha256sum -c /workspace/sum")).exitCode).toBe(0);
  await snapshots.delete(grandchild.id);
  await last.kill();
  expect((await snapshots.list()).items).toEqual([]);
  await expectNothingLeft(server.home, [machine.id, child.id, last.id]);
});

test("events tell of every change, in order, and go on after a cursor", async () => {
  const { machines, events } = server.client;
  const machine = await machines.create();
  await machine.kill();
  const seen: string[] = [];
  const all = [];
  for await (const event of events.list({ machineId: machine.id })) all.push(event);
  for (const event of all.toReversed()) seen.push(`${event.fromState}>${event.toState}`);
  expect(seen.slice(-3)).toEqual(["creating>running", "running>killing", "killing>killed"]);
  const first = all.at(-1);
  const stop = new AbortController();
  const following = events.watch({
    machineId: machine.id,
    afterId: first?.id ?? 0,
    signal: stop.signal,
  });
  const next = [];
  for await (const event of following) {
    next.push(event.id);
    if (next.length === all.length - 1) break;
  }
  expect(next).toEqual(
    all
      .toReversed()
      .slice(1)
      .map(({ id }) => id),
  );
});
