import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newSnapshot, snapshotQuery } from "../testing/machines.js";
import { gate, never, TestWorld } from "../testing/world.js";
import { SqlSnapshotStore } from "../store/snapshots.js";
import type { SnapshotRequest } from "./snapshots.js";
import { DEFAULT_PROJECT } from "./project.js";

let world: TestWorld;

beforeEach(async () => {
  world = await TestWorld.open();
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

function faultOf(reason: ErrorReason): unknown {
  return expect.objectContaining({ reason });
}

async function snapshot(machineId: string, fields: Partial<SnapshotRequest> = {}) {
  const request = {
    projectId: DEFAULT_PROJECT,
    machineId,
    name: "",
    metadata: {},
    idempotencyKey: "",
    ...fields,
  };
  return world.plane.snapshots.create(request, never);
}

describe("create", () => {
  test("saves a machine that goes on, and many start from it", async () => {
    const { id } = await world.addRunning({ cwd: "/srv" }, 7);
    const taken = await snapshot(id, { name: "ready", metadata: { a: "1" } });
    expect(taken).toMatchObject({
      kind: "reusable",
      state: "ready",
      machineId: id,
      parentId: "",
      name: "ready",
      metadata: { a: "1" },
      vcpus: 2,
      memoryMb: 512,
      stoppedMs: 12.5,
    });
    expect(await world.plane.snapshots.get(taken.id)).toEqual(taken);
    world.count(id, 8);
    const request = { snapshotId: taken.id, diskMb: 4096 };
    const children = await Promise.all(
      [world.plane, world.plane].map(async () => world.addChild(request)),
    );
    for (const child of children) {
      expect(child).toMatchObject({
        state: "running",
        parentId: id,
        sourceSnapshotId: taken.id,
        templateName: "base",
        diskMb: 4096,
        cwd: "/srv",
      });
      expect(world.countOf(child.id)).toBe(7);
      expect(world.fakeHost.machines.get(child.id)?.request).toMatchObject({
        cwd: "",
        keepEnvironment: true,
      });
    }
    const [child] = children;
    expect(await snapshot(child?.id ?? "")).toMatchObject({ parentId: taken.id });
    expect(world.countOf(id)).toBe(8);
  });

  test("one key makes one snapshot, and refuses another request", async () => {
    const { id } = await world.addRunning();
    const fields = { idempotencyKey: "k", name: "a" };
    const [first, second] = await Promise.all([snapshot(id, fields), snapshot(id, fields)]);
    expect(second).toEqual(first);
    expect(await snapshot(id, fields)).toEqual(first);
    await expect(snapshot(id, { ...fields, name: "b" })).rejects.toEqual(
      faultOf(ErrorReason.IDEMPOTENCY_CONFLICT),
    );
    await world.plane.snapshots.delete(first.id, never);
    expect((await snapshot(id, fields)).id).not.toBe(first.id);
  });

  test("captures of one machine wait for each other", async () => {
    const { id } = await world.addRunning();
    let now = 0;
    let most = 0;
    world.fakeHost.hooks.captureMachine = async () => {
      most = Math.max(most, ++now);
      await new Promise(setImmediate);
      now--;
    };
    await Promise.all([snapshot(id), snapshot(id), snapshot(id)]);
    expect(most).toBe(1);
    expect((await world.plane.snapshots.list(snapshotQuery())).items).toHaveLength(3);
  });

  test("after a pause that came first there is no machine to save", async () => {
    const { id } = await world.addRunning();
    const held = gate();
    world.fakeHost.hooks.captureMachine = async () => held.pass();
    const pausing = world.plane.machines.pause(id, never);
    await held.begun;
    const taking = snapshot(id);
    held.release();
    await pausing;
    await expect(taking).rejects.toEqual(faultOf(ErrorReason.MACHINE_NOT_RUNNING));
  });

  test("one that fails leaves nothing, and sets its key free", async () => {
    const { id } = await world.addRunning();
    world.fakeHost.hooks.captured = async () => {
      throw new ConnectError("the pipe broke", Code.Internal);
    };
    await expect(snapshot(id, { idempotencyKey: "k" })).rejects.toEqual(
      faultOf(ErrorReason.CAPTURE_FAILED),
    );
    expect(world.fakeHost.snapshots.size).toBe(0);
    expect(await world.database.selectFrom("snapshots").selectAll().execute()).toEqual([]);
    delete world.fakeHost.hooks.captured;
    expect(await snapshot(id, { idempotencyKey: "k" })).toMatchObject({ state: "ready" });
  });

  test("a kill meanwhile wins: the snapshot fails and nothing of it is left", async () => {
    const { id } = await world.addRunning();
    const held = gate();
    world.fakeHost.hooks.captureMachine = async (_id, _snapshot, signal) => held.pass(signal);
    const taking = snapshot(id);
    await held.begun;
    const outcomes = await Promise.allSettled([taking, world.plane.machines.kill(id, never)]);
    expect(outcomes).toMatchObject([
      { status: "rejected", reason: faultOf(ErrorReason.MACHINE_NOT_RUNNING) },
      { status: "fulfilled", value: { state: "killed" } },
    ]);
    expect(world.fakeHost.snapshots.size).toBe(0);
  });

  test("a snapshot outlives its machine", async () => {
    const { id } = await world.addRunning({}, 5);
    const taken = await snapshot(id);
    await world.plane.machines.kill(id, never);
    const child = await world.addChild({ snapshotId: taken.id });
    expect(world.countOf(child.id)).toBe(5);
  });

  test.each([{ vcpus: 4 }, { memoryMb: 1024 }, { diskMb: 1024 }, { template: "base" }])(
    "a size or template that is not the snapshot's is refused: %o",
    async (fields) => {
      const { id } = await world.addRunning();
      const { id: snapshotId } = await snapshot(id);
      await expect(world.addChild({ snapshotId, ...fields })).rejects.toEqual(
        faultOf(ErrorReason.INVALID_ARGUMENT),
      );
      const same = await world.addChild({ snapshotId, vcpus: 2, memoryMb: 512, diskMb: 2048 });
      expect(same.state).toBe("running");
    },
  );
});

describe("delete", () => {
  test("removes it, and deleting it again succeeds", async () => {
    const { id } = await world.addRunning();
    const taken = await snapshot(id);
    await world.plane.snapshots.delete(taken.id, never);
    await world.plane.snapshots.delete(taken.id, never);
    expect(world.fakeHost.snapshots.size).toBe(0);
    await expect(world.addChild({ snapshotId: taken.id })).rejects.toEqual(
      faultOf(ErrorReason.SNAPSHOT_NOT_FOUND),
    );
    expect((await world.events(id)).at(-1)).toMatchObject({
      type: "snapshot deleted",
      snapshotId: taken.id,
    });
  });

  test("while a child starts from it: the child has its bytes, the next start does not", async () => {
    const { id } = await world.addRunning({}, 6);
    const { id: snapshotId } = await snapshot(id);
    const held = gate();
    world.fakeHost.hooks.startMachine = async () => held.pass();
    const starting = world.addChild({ snapshotId });
    await held.begun;
    await world.plane.snapshots.delete(snapshotId, never);
    await expect(world.addChild({ snapshotId })).rejects.toEqual(
      faultOf(ErrorReason.SNAPSHOT_NOT_FOUND),
    );
    held.release();
    const child = await starting;
    expect(world.countOf(child.id)).toBe(6);
  });

  test("one that the host could not do is hidden, and done by the next server", async () => {
    const { id } = await world.addRunning();
    const taken = await snapshot(id);
    world.fakeHost.hooks.deleteSnapshot = async () => {
      throw new ConnectError("busy", Code.Internal);
    };
    await expect(world.plane.snapshots.delete(taken.id, never)).rejects.toThrow("busy");
    await expect(world.plane.snapshots.get(taken.id)).rejects.toEqual(
      faultOf(ErrorReason.SNAPSHOT_NOT_FOUND),
    );
    delete world.fakeHost.hooks.deleteSnapshot;
    await world.restart();
    expect(world.fakeHost.snapshots.size).toBe(0);
  });
});

describe("what a server finds when it starts", () => {
  test("a snapshot that no record tells of is deleted", async () => {
    await world.restart({}, () =>
      world.fakeHost.snapshots.set("sghost", { machineId: "m1", diskMb: 1, count: 0 }),
    );
    expect(world.fakeHost.snapshots.size).toBe(0);
  });

  test("a record without a snapshot goes, with an event", async () => {
    const { id } = await world.addRunning();
    const taken = await snapshot(id);
    await world.restart({}, () => world.fakeHost.snapshots.clear());
    await expect(world.plane.snapshots.get(taken.id)).rejects.toThrow("no snapshot");
    expect((await world.events(id)).at(-1)).toMatchObject({
      type: "snapshot deleted",
      cause: "lost by the host",
    });
  });

  test("a capture that was finished on the host is completed, another one removed", async () => {
    const { id } = await world.addRunning();
    const done = newSnapshot({ machineId: id, createdAt: new Date(1) });
    const cut = newSnapshot({ machineId: id, createdAt: new Date(2) });
    const store = new SqlSnapshotStore(world.database);
    await world.restart({}, async () => {
      await store.insert(done);
      await store.insert(cut);
      world.fakeHost.snapshots.set(done.id, { machineId: id, diskMb: 4096, count: 0 });
    });
    expect(await world.plane.snapshots.get(done.id)).toMatchObject({
      diskMb: 4096,
      sizeBytes: 4096,
    });
    expect(await store.find(cut.id)).toBeUndefined();
  });
});

test("a listing matches machine, kind and labels, newest first", async () => {
  const { id } = await world.addRunning();
  const other = await world.addRunning();
  const first = await snapshot(id, { metadata: { a: "1", b: "2" } });
  const second = await snapshot(id, { metadata: { a: "1" } });
  const paused = await world.plane.machines.pause(other.id, never);
  const idsOf = async (fields: Parameters<typeof snapshotQuery>[0]) =>
    (await world.plane.snapshots.list(snapshotQuery(fields))).items.map((item) => item.id);
  expect((await idsOf({ machineId: id })).toSorted()).toEqual([first.id, second.id].toSorted());
  expect(await idsOf({ kind: "pause" })).toEqual([paused.snapshot.id]);
  expect(await idsOf({ metadata: { a: "1", b: "2" } })).toEqual([first.id]);
  const page = await world.plane.snapshots.list(snapshotQuery({ limit: 2 }));
  expect(page.items).toHaveLength(2);
  const { nextCursor: cursor } = page;
  const rest = await world.plane.snapshots.list(snapshotQuery({ limit: 2, cursor }));
  expect([rest.items.length, rest.nextCursor]).toEqual([1, ""]);
});
