import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { gate, never, TestWorld } from "../testing/world.js";
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

/** A text that holds another. */
function textWith(part: string): unknown {
  return expect.stringContaining(part);
}

async function connect(id: string) {
  return world.plane.machines.connect(id, undefined, never);
}

async function resume(snapshotId: string) {
  return world.plane.machines.resume(snapshotId, undefined, never);
}

/** A paused machine that had counted to a number. */
async function addPaused(count: number) {
  const { id } = await world.addRunning({ metadata: { a: "1" }, cwd: "/srv" }, count);
  return world.plane.machines.pause(id, never);
}

async function stateOf(id: string) {
  return (await world.plane.machines.get(id)).state;
}

describe("resume", () => {
  test("goes on where the machine stopped, under a new id", async () => {
    const { machine: alias, snapshot } = await addPaused(7);
    const { machine, resumed } = await resume(snapshot.id);
    expect(resumed).toBe(true);
    expect(machine.id).not.toBe(alias.id);
    expect(machine).toMatchObject({
      state: "running",
      parentId: alias.id,
      sourceSnapshotId: snapshot.id,
      metadata: { a: "1" },
      cwd: "/srv",
      receipt: { kind: "pause", entropyReseeded: true },
    });
    expect(world.countOf(machine.id)).toBe(7);
    const asked = world.fakeHost.machines.get(machine.id)?.request;
    expect(asked).toMatchObject({ keepEnvironment: true, cwd: "", hostname: machine.id });
    expect(await world.plane.machines.get(alias.id)).toMatchObject({
      state: "paused",
      resumedAs: machine.id,
    });
    expect(await world.statesOf(alias.id)).toEqual([
      "creating",
      "running",
      "pausing",
      "paused",
      "resuming",
      "paused",
    ]);
    expect((await world.events(machine.id)).map(({ cause }) => cause)).toEqual([
      "resume",
      "resume",
    ]);
  });

  test("to the third generation and beyond nothing is lost, and every alias finds the newest", async () => {
    let { machine } = { machine: await world.addRunning() };
    const aliases: string[] = [];
    for (let generation = 1; generation <= 5; generation++) {
      world.count(machine.id, generation * 10);
      const paused = await world.plane.machines.pause(machine.id, never);
      aliases.push(machine.id);
      ({ machine } = await resume(paused.snapshot.id));
      expect(world.countOf(machine.id)).toBe(generation * 10);
    }
    for (const alias of aliases) {
      expect(await connect(alias)).toMatchObject({ machine: { id: machine.id }, resumed: false });
    }
    await world.plane.machines.kill(machine.id, never);
    for (const alias of aliases) expect(await stateOf(alias)).toBe("killed");
    expect(world.fakeHost.snapshots.size).toBe(0);
  });

  test("two at once, and connects, resume once", async () => {
    const { machine: alias, snapshot } = await addPaused(1);
    const all = await Promise.all([
      resume(snapshot.id),
      resume(snapshot.id),
      connect(alias.id),
      connect(alias.id),
    ]);
    const ids = new Set(all.map(({ machine }) => machine.id));
    expect(ids.size).toBe(1);
    expect(world.fakeHost.machines.size).toBe(1);
    expect(await resume(snapshot.id)).toMatchObject({
      machine: { id: [...ids][0] },
      resumed: false,
    });
  });

  test("one that fails leaves it paused as before, and never a fresh machine", async () => {
    const { machine: alias, snapshot } = await addPaused(9);
    world.fakeHost.hooks.startMachine = async () => {
      throw new Fault(ErrorReason.SNAPSHOT_INCOMPATIBLE, "another CPU");
    };
    await expect(resume(snapshot.id)).rejects.toThrow("another CPU");
    expect(await world.plane.machines.get(alias.id)).toMatchObject({
      state: "paused",
      resumedAs: "",
      pausedSnapshotId: snapshot.id,
    });
    expect(world.fakeHost.machines.size).toBe(0);
    expect(world.fakeHost.snapshots.has(snapshot.id)).toBe(true);

    delete world.fakeHost.hooks.startMachine;
    const { machine } = await resume(snapshot.id);
    expect(world.countOf(machine.id)).toBe(9);
  });

  test("a caller that gives up leaves it paused", async () => {
    const { machine: alias } = await addPaused(2);
    const held = gate();
    world.fakeHost.hooks.startMachine = async (_id, signal) => held.pass(signal);
    const caller = new AbortController();
    const connecting = world.plane.machines.connect(alias.id, undefined, caller.signal);
    await held.begun;
    expect(await stateOf(alias.id)).toBe("resuming");
    caller.abort(new Error("gone"));
    await expect(connecting).rejects.toThrow("gone");
    delete world.fakeHost.hooks.startMachine;
    const { machine } = await connect(alias.id);
    expect(world.countOf(machine.id)).toBe(2);
    expect(world.fakeHost.machines.size).toBe(1);
  });

  test("once what went on has ended, the snapshot is used up and says so", async () => {
    const { machine: alias, snapshot } = await addPaused(1);
    const { machine } = await resume(snapshot.id);
    await world.plane.machines.kill(machine.id, never);
    await expect(resume(snapshot.id)).rejects.toMatchObject({
      reason: ErrorReason.SNAPSHOT_CONSUMED,
      details: { resumed_as: machine.id },
    });
    expect(await stateOf(alias.id)).toBe("killed");
    expect(world.fakeHost.snapshots.size).toBe(0);
  });

  test("when what went on dies, its alias ends too", async () => {
    const { machine: alias } = await addPaused(1);
    const { machine } = await connect(alias.id);
    await world.restart({}, () => world.fakeHost.die(machine.id));
    expect(await stateOf(machine.id)).toBe("failed");
    expect(await stateOf(alias.id)).toBe("killed");
    expect(world.fakeHost.snapshots.size).toBe(0);
  });

  test("killing the alias leaves what went on from it", async () => {
    const { machine: alias } = await addPaused(1);
    const { machine } = await connect(alias.id);
    await world.plane.machines.kill(alias.id, never);
    expect(await stateOf(machine.id)).toBe("running");
    expect(world.fakeHost.snapshots.size).toBe(0);
  });

  test("a kill of the alias during its resume wins", async () => {
    const { machine: alias } = await addPaused(1);
    const held = gate();
    world.fakeHost.hooks.startMachine = async (_id, signal) => held.pass(signal);
    const connecting = connect(alias.id);
    await held.begun;
    const outcomes = await Promise.allSettled([
      connecting,
      world.plane.machines.kill(alias.id, never),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    expect(world.fakeHost.machines.size + world.fakeHost.snapshots.size).toBe(0);
  });
});

describe("connect", () => {
  test("gives a running machine as it is", async () => {
    const machine = await world.addRunning();
    expect(await connect(machine.id)).toEqual({ machine, resumed: false });
    await expect(connect("m0")).rejects.toEqual(faultOf(ErrorReason.MACHINE_NOT_FOUND));
  });

  test("waits for a pause in progress, then resumes", async () => {
    const { id } = await world.addRunning({}, 4);
    const held = gate();
    world.fakeHost.hooks.captureMachine = async () => held.pass();
    const pausing = world.plane.machines.pause(id, never);
    await held.begun;
    const connecting = connect(id);
    held.release();
    await pausing;
    const { machine, resumed } = await connecting;
    expect([resumed, world.countOf(machine.id)]).toEqual([true, 4]);
  });

  test("a pause in progress that fails leaves the machine itself", async () => {
    const { id } = await world.addRunning();
    const held = gate();
    world.fakeHost.hooks.captureMachine = async () => {
      await held.pass();
      throw new Fault(ErrorReason.DISK_FULL, "no space");
    };
    const pausing = world.plane.machines.pause(id, never);
    await held.begun;
    const connecting = connect(id);
    held.release();
    await expect(pausing).rejects.toThrow("no space");
    expect(await connecting).toMatchObject({ machine: { id }, resumed: false });
  });

  test("a timeout given for the resume counts from now", async () => {
    const { machine: alias } = await addPaused(1);
    const { machine } = await world.plane.machines.connect(alias.id, 0, never);
    expect(machine.timeoutAt).toBeUndefined();
  });
});

test("each kind of snapshot names the call that is for it", async () => {
  const { snapshot } = await addPaused(1);
  const request = { snapshotId: snapshot.id };
  await expect(world.addRunning(request)).rejects.toMatchObject({
    reason: ErrorReason.INVALID_ARGUMENT,
    remedy: textWith("Call Resume"),
  });
  const { id } = await world.addRunning();
  const reusable = await world.plane.snapshots.create(
    { projectId: DEFAULT_PROJECT, machineId: id, name: "", metadata: {}, idempotencyKey: "" },
    never,
  );
  await expect(resume(reusable.id)).rejects.toMatchObject({
    reason: ErrorReason.INVALID_ARGUMENT,
    remedy: textWith("Call Create"),
  });
  await expect(resume("s0")).rejects.toEqual(faultOf(ErrorReason.SNAPSHOT_NOT_FOUND));
});
