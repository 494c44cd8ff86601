import type { Machine } from "@nullspace/sdk";
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

function reasonOf(error: unknown): unknown {
  return Reflect.get(Object(error), "reason");
}

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
  const outcome = await machine.fork().then(() => "forked", reasonOf);
  const snapshot = await pausing;
  // Which of the two came first is open; that nothing is in between is not.
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
  let why: unknown;
  const forking = machine.fork({ count: 2 }).catch((error: unknown) => {
    why = reasonOf(error);
    return [];
  });
  await machine.kill();
  const children = await forking;
  expect((await server.client.machines.getInfo(machine.id)).state).toBe("killed");
  expect([children.length, why]).toBeOneOf([
    [2, undefined],
    [0, "MACHINE_NOT_RUNNING"],
  ]);
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

/** Whether a child has on disk and in memory what it should; it is killed then. */
async function check(child: Machine): Promise<string> {
  const sums = "sudo sysctl -q vm.drop_caches=3; sha256sum -c /workspace/sums";
  const { exitCode } = await child.commands.run(sums);
  await child.kill();
  return exitCode === 0 ? "whole" : "damaged";
}

test("a snapshot that is deleted while a child starts from it: the child has all of it, or is not there", async () => {
  const { machines, snapshots } = server.client;
  const machine = await machines.create();
  await machine.commands.run(
    "head -c 3000000 /dev/urandom | tee /dev/shm/blob > /workspace/blob; sha256sum /workspace/blob /dev/shm/blob > /workspace/sums; sync",
  );
  const ids = [machine.id];
  const outcomes: unknown[] = [];
  for (let round = 0; round < 2; round++) {
    const { id: snapshotId } = await machine.createSnapshot();
    const starting = machines.create({ snapshotId });
    const outcome = starting.then(check, reasonOf);
    await snapshots.delete(snapshotId);
    outcomes.push(await outcome);
    if (outcomes.at(-1) === "whole") ids.push((await starting).id);
  }
  for (const outcome of outcomes) expect(outcome).toBeOneOf(["whole", "SNAPSHOT_NOT_FOUND"]);
  await machine.kill();
  await expectNothingLeft(server.home, ids);
});
