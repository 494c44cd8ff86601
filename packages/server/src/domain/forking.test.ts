import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterEach, beforeEach, expect, test } from "vitest";
import { query } from "../testing/machines.js";
import { gate, never, TestWorld } from "../testing/world.js";
import type { ForkOutcome, ForkRequest } from "./forking.js";
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

function forkRequest(id: string, fields: Partial<ForkRequest> = {}): ForkRequest {
  return {
    projectId: DEFAULT_PROJECT,
    id,
    count: 0,
    idempotencyKey: "",
    metadata: {},
    envs: {},
    timeoutSeconds: undefined,
    onTimeout: undefined,
    ...fields,
  };
}

async function fork(id: string, fields: Partial<ForkRequest> = {}) {
  return world.plane.machines.fork(forkRequest(id, fields), never);
}

function idsOf(outcomes: readonly ForkOutcome[]): string[] {
  return outcomes.flatMap((outcome) => ("machine" in outcome ? [outcome.machine.id] : []));
}

test("children are of one instant, and the source goes on", async () => {
  const source = await world.addRunning({ metadata: { a: "1" }, cwd: "/srv" }, 7);
  world.fakeHost.hooks.captured = async () => world.count(source.id, 8);
  const outcomes = await fork(source.id, { count: 6, envs: { X: "1" }, timeoutSeconds: 0 });
  const ids = idsOf(outcomes);
  expect(new Set(ids).size).toBe(6);
  for (const id of ids) {
    expect(world.countOf(id)).toBe(7);
    expect(await world.plane.machines.get(id)).toMatchObject({
      state: "running",
      parentId: source.id,
      sourceSnapshotId: "",
      metadata: { a: "1" },
      cwd: "/srv",
      timeoutAt: undefined,
      receipt: { identityRenewed: true },
    });
    expect(world.fakeHost.machines.get(id)?.request).toMatchObject({
      envs: { X: "1" },
      keepEnvironment: true,
      hostname: id,
    });
  }
  expect(await world.plane.machines.get(source.id)).toMatchObject({ state: "running" });
  expect(world.countOf(source.id)).toBe(8);
  expect(world.fakeHost.calls.filter((call) => call === "captureMachine")).toHaveLength(1);
  expect(world.fakeHost.snapshots.size).toBe(0);
  expect((await world.events(source.id)).at(-1)).toMatchObject({ type: "machine forked" });
});

test("at most four children start side by side", async () => {
  const { id } = await world.addRunning();
  let now = 0;
  let most = 0;
  world.fakeHost.hooks.startMachine = async () => {
    most = Math.max(most, ++now);
    await new Promise(setImmediate);
    now--;
  };
  expect(idsOf(await fork(id, { count: 10 }))).toHaveLength(10);
  expect(most).toBe(4);
});

test("a child that fails does not hide the others", async () => {
  const { id } = await world.addRunning();
  let starts = 0;
  world.fakeHost.hooks.startMachine = async () => {
    if (++starts === 2) throw new Fault(ErrorReason.ADOPTION_FAILED, "no entropy");
  };
  const outcomes = await fork(id, { count: 3 });
  expect(idsOf(outcomes)).toHaveLength(2);
  const failures = outcomes.flatMap((outcome) => ("error" in outcome ? [outcome.error] : []));
  expect(failures).toEqual([expect.objectContaining({ rawMessage: "no entropy" })]);
});

test("children need room, each for itself", async () => {
  await world.restart({ capacity: { maxMachines: 3, maxMemoryMb: 65_536 } });
  const { id } = await world.addRunning();
  const outcomes = await fork(id, { count: 4 });
  expect(idsOf(outcomes)).toHaveLength(2);
  const failures = outcomes.flatMap((outcome) => ("error" in outcome ? [outcome.error] : []));
  expect(failures).toEqual([
    faultOf(ErrorReason.CAPACITY_EXCEEDED),
    faultOf(ErrorReason.CAPACITY_EXCEEDED),
  ]);
});

test("one key makes the same children, and refuses another request", async () => {
  const { id } = await world.addRunning();
  const fields = { count: 3, idempotencyKey: "k" };
  const [first, second] = await Promise.all([fork(id, fields), fork(id, fields)]);
  expect(idsOf(second)).toEqual(idsOf(first));
  expect(idsOf(await fork(id, fields))).toEqual(idsOf(first));
  expect(world.fakeHost.machines.size).toBe(4);
  await expect(fork(id, { ...fields, count: 2 })).rejects.toEqual(
    faultOf(ErrorReason.IDEMPOTENCY_CONFLICT),
  );
});

test("a retry is told of the children that failed, and makes none of another instant", async () => {
  const { id } = await world.addRunning();
  let starts = 0;
  world.fakeHost.hooks.startMachine = async () => {
    if (++starts === 1) throw new Fault(ErrorReason.ADOPTION_FAILED, "no entropy");
  };
  const fields = { count: 2, idempotencyKey: "k" };
  const first = await fork(id, fields);
  const again = await fork(id, fields);
  expect(idsOf(first)).toHaveLength(1);
  expect(idsOf(again)).toEqual(idsOf(first));
  expect(again[0]).toEqual({ error: faultOf(ErrorReason.MACHINE_START_FAILED) });
});

test("a caller that gives up leaves no children", async () => {
  const { id } = await world.addRunning();
  const held = gate();
  let starts = 0;
  world.fakeHost.hooks.startMachine = async (_id, signal) => {
    if (++starts === 3) await held.pass(signal);
  };
  const caller = new AbortController();
  const forking = world.plane.machines.fork(forkRequest(id, { count: 8 }), caller.signal);
  await held.begun;
  caller.abort(new Error("gone"));
  await expect(forking).rejects.toThrow("gone");
  // The fork ends after its caller has gone; a stop waits for that.
  await world.restart();
  expect([...world.fakeHost.machines.keys()]).toEqual([id]);
  expect(world.fakeHost.snapshots.size).toBe(0);
  const { items } = await world.plane.machines.list(query({ states: ["running"] }));
  expect(items.map((item) => item.id)).toEqual([id]);
});

test("a kill of the source while it is captured wins", async () => {
  const { id } = await world.addRunning();
  const held = gate();
  world.fakeHost.hooks.captureMachine = async (_id, _snapshot, signal) => held.pass(signal);
  const forking = fork(id, { count: 2 });
  await held.begun;
  const outcomes = await Promise.allSettled([forking, world.plane.machines.kill(id, never)]);
  expect(outcomes).toMatchObject([
    { status: "rejected", reason: faultOf(ErrorReason.MACHINE_NOT_RUNNING) },
    { status: "fulfilled", value: { state: "killed" } },
  ]);
  expect(world.fakeHost.machines.size + world.fakeHost.snapshots.size).toBe(0);
});

test("a kill of the source while its children start leaves them", async () => {
  const { id } = await world.addRunning();
  const held = gate();
  world.fakeHost.hooks.startMachine = async () => held.pass();
  const forking = fork(id, { count: 2 });
  await held.begun;
  await world.plane.machines.kill(id, never);
  held.release();
  expect(idsOf(await forking)).toHaveLength(2);
});

test("during a pause there is nothing to fork; before it, both happen", async () => {
  const { id } = await world.addRunning({}, 3);
  const first = gate();
  world.fakeHost.hooks.captureMachine = async () => first.pass();
  const pausing = world.plane.machines.pause(id, never);
  await first.begun;
  const late = fork(id);
  first.release();
  await pausing;
  await expect(late).rejects.toEqual(faultOf(ErrorReason.MACHINE_NOT_RUNNING));

  const { machine } = await world.plane.machines.connect(id, undefined, never);
  const held = gate();
  world.fakeHost.hooks.captureMachine = async () => held.pass();
  const early = fork(machine.id);
  await held.begun;
  const paused = world.plane.machines.pause(machine.id, never);
  held.release();
  expect(idsOf(await early)).toHaveLength(1);
  expect(await paused).toMatchObject({ machine: { state: "paused" } });
});

test.each([101, 1000])("more than a hundred children are refused: %d", async (count) => {
  await expect(fork("m0", { count })).rejects.toEqual(faultOf(ErrorReason.INVALID_ARGUMENT));
});
