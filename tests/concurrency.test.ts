import { NotFoundError } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
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

test("two pauses at once are one, and both are told of the same snapshot", async () => {
  const machine = await server.client.machines.create();
  const [first, second] = await Promise.all([machine.pause(), machine.pause()]);
  expect(second.id).toBe(first.id);
  const all = await server.client.snapshots.list({ kind: "pause" });
  expect(all.items.map(({ id }) => id)).toEqual([first.id]);
  await machine.kill();
  await expectNothingLeft(server.home, [machine.id]);
});

test("a fork during a pause has children of the instant before, or none and says why", async () => {
  const machine = await server.client.machines.create();
  const pausing = machine.pause();
  const fork = await machine.fork().catch((error: unknown) => error);
  const snapshot = await pausing;
  // Which of the two came first is open; that nothing is in between is not.
  const outcome = fork instanceof Error ? Reflect.get(fork, "reason") : "forked";
  expect(outcome).toBeOneOf(["MACHINE_NOT_RUNNING", "forked"]);
  expect((await server.client.machines.getInfo(machine.id)).state).toBe("paused");
  const resumed = await server.client.machines.resume(snapshot.id);
  expect((await resumed.commands.run("echo woken")).stdout).toBe("woken\n");
  await resumed.kill();
  const { items } = await server.client.machines.list({ state: ["running"] });
  expect(items).toHaveLength(outcome === "forked" ? 1 : 0);
  for (const { id } of items) await server.client.machines.kill(id);
});

test("a kill during a fork ends the machine, and leaves whole children or none", async () => {
  const machine = await server.client.machines.create();
  const forking = machine.fork({ count: 2 }).catch((error: unknown) => error);
  await machine.kill();
  const outcome = await forking;
  expect((await server.client.machines.getInfo(machine.id)).state).toBe("killed");
  const children = Array.isArray(outcome) ? outcome : [];
  const ids: string[] = [machine.id];
  for (const { machine: child } of children) {
    if (child === undefined) continue;
    ids.push(child.id);
    expect((await child.commands.run("echo whole")).stdout).toBe("whole\n");
    await child.kill();
  }
  expect((await server.client.machines.list({ state: ["running"] })).items).toEqual([]);
  expect((await server.client.snapshots.list()).items).toEqual([]);
  await expectNothingLeft(server.home, ids);
});

test("a snapshot that is deleted while a child starts from it: the child has all of it, or is not there", async () => {
  const { machines, snapshots } = server.client;
  const machine = await machines.create();
  await machine.commands.run(
    "head -c 3000000 /dev/urandom | tee /dev/shm/blob > /workspace/blob; sha256sum /workspace/blob /dev/shm/blob > /workspace/sums; sync",
  );
  const ids = [machine.id];
  for (let round = 0; round < 2; round++) {
    const { id: snapshotId } = await machine.createSnapshot();
    const starting = machines.create({ snapshotId }).catch((error: unknown) => error);
    await snapshots.delete(snapshotId);
    const child = await starting;
    if (child instanceof Error) {
      expect(child).toBeInstanceOf(NotFoundError);
      continue;
    }
    const [info] = (await machines.list({ state: ["running"] })).items;
    const copy = await machines.connect(info?.id ?? "");
    ids.push(copy.id);
    const check = "sudo sysctl -q vm.drop_caches=3; sha256sum -c /workspace/sums";
    expect((await copy.commands.run(check)).exitCode).toBe(0);
    await copy.kill();
  }
  await machine.kill();
  await expectNothingLeft(server.home, ids);
});
