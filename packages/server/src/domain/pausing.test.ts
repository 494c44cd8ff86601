import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { machineRequest, untilMachine } from "../testing/control-plane.js";
import { query, snapshotQuery } from "../testing/machines.js";
import { gate, never, TestWorld } from "../testing/world.js";

let world: TestWorld;

beforeEach(async () => {
  world = await TestWorld.open();
});

afterEach(async () => {
  vi.useRealTimers();
  await world[Symbol.asyncDispose]();
});

function faultOf(reason: ErrorReason): unknown {
  return expect.objectContaining({ reason });
}

async function pause(id: string) {
  return world.plane.machines.pause(id, never);
}

async function connect(id: string) {
  return world.plane.machines.connect(id, undefined, never);
}

describe("pause", () => {
  test("saves and stops the machine, which stays as an alias", async () => {
    const { id } = await world.addRunning({ metadata: { a: "1" }, cwd: "/srv" }, 7);
    const { machine, snapshot } = await pause(id);
    expect(machine).toMatchObject({ id, state: "paused", timeoutAt: undefined, resumedAs: "" });
    expect(snapshot).toMatchObject({
      id: machine.pausedSnapshotId,
      kind: "pause",
      state: "ready",
      machineId: id,
      metadata: { a: "1" },
      cwd: "/srv",
      sizeBytes: 4096,
      stoppedMs: 12.5,
    });
    expect(world.fakeHost.machines.size).toBe(0);
    expect([...world.fakeHost.snapshots.keys()]).toEqual([snapshot.id]);
    expect(await world.statesOf(id)).toEqual(["creating", "running", "pausing", "paused"]);
    const created = (await world.events(id)).find(({ type }) => type === "snapshot created");
    expect(created).toMatchObject({ snapshotId: snapshot.id, cause: "request" });
    expect(created?.timings).toHaveProperty("captureMs");
    await expect(world.plane.machines.getRunning(id)).rejects.toEqual(
      faultOf(ErrorReason.MACHINE_NOT_RUNNING),
    );
  });

  test("two at once share one capture, and a third answers the same snapshot", async () => {
    const { id } = await world.addRunning();
    const [first, second] = await Promise.all([pause(id), pause(id)]);
    expect(second).toEqual(first);
    expect(await pause(id)).toEqual(first);
    expect(world.fakeHost.calls.filter((call) => call === "captureMachine")).toHaveLength(1);
  });

  test("one that fails leaves the machine running, with nothing of a snapshot", async () => {
    const { id, timeoutAt } = await world.addRunning({}, 3);
    world.fakeHost.hooks.captureMachine = async () => {
      throw new ConnectError("the pipe broke", Code.Internal);
    };
    await expect(pause(id)).rejects.toEqual(faultOf(ErrorReason.CAPTURE_FAILED));
    const machine = await world.plane.machines.getRunning(id);
    expect(machine).toMatchObject({ pausedSnapshotId: "", timeoutAt });
    expect(world.countOf(id)).toBe(3);
    expect(await world.database.selectFrom("snapshots").selectAll().execute()).toEqual([]);
    const last = (await world.events(id)).at(-1);
    expect(last).toMatchObject({
      fromState: "pausing",
      toState: "running",
      failure: "the pipe broke",
    });

    delete world.fakeHost.hooks.captureMachine;
    expect((await pause(id)).machine.state).toBe("paused");
  });

  test("the host's own reason reaches the caller", async () => {
    const { id } = await world.addRunning();
    world.fakeHost.hooks.captureMachine = async () => {
      throw new Fault(ErrorReason.DISK_FULL, "no space");
    };
    await expect(pause(id)).rejects.toMatchObject({ code: Code.ResourceExhausted });
    expect(await world.plane.machines.getRunning(id)).toBeDefined();
  });

  test("an answer that is lost after the capture is found again", async () => {
    const { id } = await world.addRunning({}, 5);
    world.fakeHost.hooks.captured = async () => {
      throw new ConnectError("it broke after all was safe", Code.Internal);
    };
    const { machine } = await pause(id);
    expect(machine.state).toBe("paused");
    expect(world.fakeHost.machines.size).toBe(0);
    const { machine: resumed } = await connect(id);
    expect(world.countOf(resumed.id)).toBe(5);
  });

  test("a machine that dies meanwhile is failed, with the end of its console", async () => {
    const { id } = await world.addRunning();
    world.fakeHost.hooks.captureMachine = async () => world.fakeHost.die(id, "Oops");
    await expect(pause(id)).rejects.toEqual(faultOf(ErrorReason.MACHINE_DIED));
    const failed = await world.plane.machines.get(id);
    expect(failed.state).toBe("failed");
    expect(failed.failure).toContain("Oops");
    expect(await world.database.selectFrom("snapshots").selectAll().execute()).toEqual([]);
  });

  test("goes on when the caller gives up", async () => {
    const { id } = await world.addRunning();
    const held = gate();
    world.fakeHost.hooks.captureMachine = async () => held.pass();
    const caller = new AbortController();
    const pausing = world.plane.machines.pause(id, caller.signal);
    await held.begun;
    caller.abort(new Error("gone"));
    await expect(pausing).rejects.toThrow("gone");
    held.release();
    await untilMachine(world.plane.machines, id, ({ state }) => state === "paused");
  });

  test("a kill meanwhile wins, and leaves no snapshot", async () => {
    const { id } = await world.addRunning();
    const held = gate();
    world.fakeHost.hooks.captureMachine = async (_id, _snapshot, signal) => held.pass(signal);
    const pausing = pause(id);
    await held.begun;
    const [paused, killed] = await Promise.allSettled([
      pausing,
      world.plane.machines.kill(id, never),
    ]);
    expect(paused).toMatchObject({
      status: "rejected",
      reason: faultOf(ErrorReason.MACHINE_NOT_RUNNING),
    });
    expect(killed).toMatchObject({ status: "fulfilled", value: { state: "killed" } });
    expect(world.fakeHost.machines.size + world.fakeHost.snapshots.size).toBe(0);
    expect(await world.database.selectFrom("snapshots").selectAll().execute()).toEqual([]);
  });

  test("only a running machine can be paused", async () => {
    await expect(pause("m0")).rejects.toEqual(faultOf(ErrorReason.MACHINE_NOT_FOUND));
    const { id } = await world.addRunning();
    await world.plane.machines.kill(id, never);
    await expect(pause(id)).rejects.toEqual(faultOf(ErrorReason.MACHINE_NOT_RUNNING));
  });

  test("one that takes too long ends, and the machine goes on", async () => {
    const { id } = await world.addRunning();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const held = gate();
    world.fakeHost.hooks.captureMachine = async (_id, _snapshot, signal) => held.pass(signal);
    const pausing = pause(id);
    await held.begun;
    vi.advanceTimersByTime(660_000);
    vi.useRealTimers();
    // The host's own deadline may come first: either way the caller is told and nothing is lost.
    await expect(pausing).rejects.toThrow(/timed out|deadline|for more than/);
    await untilMachine(world.plane.machines, id, ({ state }) => state === "running");
  });

  test("gives back the host's room", async () => {
    await world.restart({ capacity: { maxMachines: 1, maxMemoryMb: 1024 } });
    const { id } = await world.addRunning();
    await expect(world.addRunning()).rejects.toThrow("1 machines of at most 1");
    await pause(id);
    const other = await world.addRunning();
    await expect(connect(id)).rejects.toEqual(faultOf(ErrorReason.CAPACITY_EXCEEDED));
    expect(await world.plane.machines.get(id)).toMatchObject({ state: "paused", resumedAs: "" });
    await world.plane.machines.kill(other.id, never);
    expect((await connect(id)).machine.state).toBe("running");
  });
});

describe("timeouts", () => {
  test("a machine is paused at its deadline, and killed when it was paused for long enough", async () => {
    const { id } = await world.addRunning({
      timeoutSeconds: 1,
      onTimeout: "pause",
      deletePausedAfterSeconds: 1,
    });
    const paused = await untilMachine(world.plane.machines, id, ({ state }) => state === "paused");
    expect(paused.deleteAt).toBeInstanceOf(Date);
    await untilMachine(world.plane.machines, id, ({ state }) => state === "killed");
    expect(world.fakeHost.snapshots.size).toBe(0);
    expect((await world.events(id)).filter(({ toState }) => toState === "pausing")).toMatchObject([
      { cause: "timeout" },
    ]);
  });

  test("a paused machine keeps its timeouts for the one that goes on", async () => {
    const { id } = await world.addRunning({
      onTimeout: "pause",
      autoResume: true,
      idleSeconds: 50,
    });
    await pause(id);
    await world.plane.machines.setTimeout(id, 700, { deletePausedAfterSeconds: 90 });
    const alias = await world.plane.machines.get(id);
    expect(alias).toMatchObject({ timeoutAt: undefined, timeoutSeconds: 700 });
    expect(alias.deleteAt?.getTime()).toBe(alias.stateSince.getTime() + 90_000);
    const before = Date.now();
    const { machine } = await connect(id);
    expect(machine).toMatchObject({
      onTimeout: "pause",
      autoResume: true,
      idleSeconds: 50,
      deletePausedAfterSeconds: 90,
    });
    expect(machine.timeoutAt?.getTime()).toBeGreaterThanOrEqual(before + 700_000);
  });

  test("a resumed alias is not killed by its own deadline", async () => {
    const { id } = await world.addRunning({ deletePausedAfterSeconds: 1 });
    await pause(id);
    const { machine } = await connect(id);
    await world.database
      .updateTable("machines")
      .set({ delete_at: 1 })
      .where("id", "=", id)
      .execute();
    await world.restart();
    expect(await world.plane.machines.get(id)).toMatchObject({ state: "paused" });
    expect(await world.plane.machines.get(machine.id)).toMatchObject({ state: "running" });
  });

  test("auto resume needs a pause at the timeout", async () => {
    const request = machineRequest({ autoResume: true });
    await expect(world.plane.machines.create(request, never)).rejects.toEqual(
      faultOf(ErrorReason.INVALID_ARGUMENT),
    );
    const { id } = await world.addRunning({ autoResume: true, onTimeout: "pause" });
    const changed = await world.plane.machines.setTimeout(id, 9, { onTimeout: "kill" });
    expect(changed).toMatchObject({ autoResume: false, onTimeout: "kill" });
  });

  test("an idle machine is paused; one in use is not, until its last stream ends", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    const idle = await world.addRunning({ idleSeconds: 60, onTimeout: "pause" });
    const used = await world.addRunning({ idleSeconds: 60, onTimeout: "kill" });
    const stream = world.plane.activity.begin(used.id);
    vi.advanceTimersByTime(59_000);
    expect(world.plane.machines.lastUsedAt(used.id)).toEqual(new Date());
    await vi.advanceTimersByTimeAsync(2000);
    vi.advanceTimersByTime(30_000);
    stream[Symbol.dispose]();
    vi.advanceTimersByTime(59_000);
    expect(await world.plane.machines.get(used.id)).toMatchObject({ state: "running" });
    vi.advanceTimersByTime(1000);
    vi.useRealTimers();
    await untilMachine(world.plane.machines, idle.id, ({ state }) => state === "paused");
    await untilMachine(world.plane.machines, used.id, ({ state }) => state === "killed");
    const causes = (await world.events(used.id)).map(({ toState, cause }) => [toState, cause]);
    expect(causes).toContainEqual(["killing", "idle"]);
  });
});

test("killing a paused machine removes alias and snapshot", async () => {
  const { id } = await world.addRunning();
  const { snapshot } = await pause(id);
  expect(await world.plane.machines.kill(id, never)).toMatchObject({ state: "killed" });
  expect(world.fakeHost.snapshots.size).toBe(0);
  await expect(world.plane.snapshots.get(snapshot.id)).rejects.toEqual(
    faultOf(ErrorReason.SNAPSHOT_NOT_FOUND),
  );
  await expect(world.plane.machines.resume(snapshot.id, undefined, never)).rejects.toEqual(
    faultOf(ErrorReason.SNAPSHOT_NOT_FOUND),
  );
});

test("deleting the snapshot of a paused machine kills it", async () => {
  const { id } = await world.addRunning();
  const { snapshot } = await pause(id);
  await world.plane.snapshots.delete(snapshot.id, never);
  expect(await world.plane.machines.get(id)).toMatchObject({ state: "killed" });
  expect((await world.plane.snapshots.list(snapshotQuery())).items).toEqual([]);
  await world.plane.snapshots.delete(snapshot.id, never);
});

test("a paused machine whose snapshot the host has lost is failed", async () => {
  const { id } = await world.addRunning();
  await pause(id);
  await world.restart({}, () => world.fakeHost.snapshots.clear());
  expect(await world.plane.machines.get(id)).toMatchObject({ state: "failed" });
  expect((await world.plane.machines.list(query())).items).toHaveLength(1);
  const types = (await world.events(id)).map(({ type }) => type);
  expect(types).toContain("snapshot deleted");
});
