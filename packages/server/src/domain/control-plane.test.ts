import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { HostMachineState } from "@nullspace/proto/host";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openDatabase, type Database } from "../store/database.js";
import { SqlMachineStore } from "../store/machines.js";
import { machineRequest, testControlPlane, untilMachine } from "../testing/control-plane.js";
import { FakeHost } from "../testing/fake-host.js";
import { newMachine, query } from "../testing/machines.js";
import type { ControlPlane, ControlPlaneOptions } from "./control-plane.js";
import { TRANSITIONS } from "./transitions.js";
import { DEFAULT_PROJECT } from "./project.js";

let fakeHost: FakeHost;
let database: Database;
let store: SqlMachineStore;
let plane: ControlPlane;
const NOTE = { cause: "test" };
const never = new AbortController().signal;

async function start(options: Partial<ControlPlaneOptions> = {}): Promise<ControlPlane> {
  plane = testControlPlane({ fakeHost, database, ...options });
  await plane.start();
  return plane;
}

/** As a new server would find it. */
async function restart(options: Partial<ControlPlaneOptions> = {}): Promise<ControlPlane> {
  await plane[Symbol.asyncDispose]();
  return start(options);
}

beforeEach(async () => {
  fakeHost = new FakeHost();
  database = await openDatabase(":memory:", () => undefined);
  store = new SqlMachineStore(database);
  await start();
});

afterEach(async () => {
  vi.useRealTimers();
  await plane[Symbol.asyncDispose]();
  await fakeHost[Symbol.asyncDispose]();
  await database.destroy();
});

/** A fault of this reason that the domain throws. */
function faultOf(reason: ErrorReason): unknown {
  return expect.objectContaining({ reason });
}

/** A text that holds another. */
function textWith(part: string): unknown {
  return expect.stringContaining(part);
}

/** Holds up every start until it is released, and tells when one has begun. */
function holdStarts() {
  const begun = Promise.withResolvers<string>();
  const released = Promise.withResolvers<void>();
  fakeHost.hooks.startMachine = async (machineId, signal) => {
    begun.resolve(machineId);
    signal.addEventListener("abort", () => released.resolve());
    await released.promise;
  };
  return { begun: begun.promise, release: released.resolve };
}

describe("create", () => {
  test("makes a running machine with the template's size and the usual deadline", async () => {
    const before = Date.now();
    const machine = await plane.machines.create(machineRequest({ metadata: { a: "1" } }), never);
    expect(machine).toMatchObject({
      state: "running",
      templateName: "base",
      templateTag: "latest",
      vcpus: 2,
      memoryMb: 512,
      diskMb: 2048,
      cwd: "/workspace",
      metadata: { a: "1" },
      receipt: {
        kind: "template",
        generation: 1,
        clockSkewMs: -3,
        entropyReseeded: true,
        identityRenewed: true,
      },
    });
    expect(machine.id).toMatch(/^m[a-z0-9]{19}$/);
    expect(machine.timeoutAt?.getTime()).toBeGreaterThanOrEqual(before + 300_000);
    expect(await plane.machines.get(machine.id)).toEqual(machine);
    expect(fakeHost.machines.get(machine.id)?.state).toBe(HostMachineState.RUNNING);
  });

  test("an unknown template lists near names", async () => {
    await expect(
      plane.machines.create(machineRequest({ template: "bsae" }), never),
    ).rejects.toEqual(
      expect.objectContaining({
        reason: ErrorReason.TEMPLATE_NOT_FOUND,
        remedy: "Did you mean base?",
      }),
    );
    const wrongTag = machineRequest({ template: "desktop:1.1" });
    await expect(plane.machines.create(wrongTag, never)).rejects.toMatchObject({
      details: { nearest: "desktop:1.0, desktop" },
    });
  });

  test("a start that fails leaves a failed record that says why, and nothing else", async () => {
    fakeHost.hooks.startMachine = async () => {
      throw new Fault(ErrorReason.IMAGE_CORRUPTED, "memory has another checksum");
    };
    const request = machineRequest({ idempotencyKey: "k" });
    await expect(plane.machines.create(request, never)).rejects.toMatchObject({
      code: Code.DataLoss,
    });
    const { items } = await plane.machines.list(query());
    expect(items).toMatchObject([{ state: "failed", failure: "memory has another checksum" }]);
    expect(fakeHost.machines.size).toBe(0);

    delete fakeHost.hooks.startMachine;
    expect(await plane.machines.create(request, never)).toMatchObject({ state: "running" });
  });

  test("a caller that gives up takes the machine with it and frees the key", async () => {
    const { begun } = holdStarts();
    const caller = new AbortController();
    const request = machineRequest({ idempotencyKey: "k" });
    const creating = plane.machines.create(request, caller.signal);
    const id = await begun;
    expect(await plane.machines.get(id)).toMatchObject({ state: "creating" });
    caller.abort(new ConnectError("late", Code.DeadlineExceeded));
    await expect(creating).rejects.toThrow("late");
    await untilMachine(plane.machines, id, ({ state }) => state === "killed");
    expect(fakeHost.machines.size).toBe(0);

    delete fakeHost.hooks.startMachine;
    const again = await plane.machines.create(request, never);
    expect(again).toMatchObject({ state: "running" });
    expect(again.id).not.toBe(id);
  });

  test("a retry that arrives while the former call is given up keeps the machine", async () => {
    const { begun, release } = holdStarts();
    const caller = new AbortController();
    const request = machineRequest({ idempotencyKey: "k" });
    const first = plane.machines.create(request, caller.signal);
    const id = await begun;
    const retry = plane.machines.create(request, never);
    caller.abort(new Error("connection lost"));
    await expect(first).rejects.toThrow("connection lost");
    release();
    expect(await retry).toMatchObject({ id, state: "running" });
    expect(fakeHost.calls.filter((call) => call === "startMachine")).toHaveLength(1);
  });

  test("one key makes one machine, and refuses another request", async () => {
    const request = machineRequest({ idempotencyKey: "k", metadata: { a: "1", b: "2" } });
    const sameRequest = machineRequest({ idempotencyKey: "k", metadata: { b: "2", a: "1" } });
    const made = await Promise.all([
      plane.machines.create(request, never),
      plane.machines.create(sameRequest, never),
    ]);
    expect(made[1].id).toBe(made[0].id);
    expect(await plane.machines.create(request, never)).toEqual(made[0]);
    const other = machineRequest({ idempotencyKey: "k", metadata: { a: "2" } });
    await expect(plane.machines.create(other, never)).rejects.toEqual(
      faultOf(ErrorReason.IDEMPOTENCY_CONFLICT),
    );
    expect(fakeHost.machines.size).toBe(1);
  });

  test("a kill meanwhile wins", async () => {
    const { begun } = holdStarts();
    const creating = plane.machines.create(machineRequest(), never);
    const id = await begun;
    const [created, killed] = await Promise.allSettled([creating, plane.machines.kill(id, never)]);
    expect(created).toMatchObject({ status: "rejected" });
    expect(killed).toMatchObject({ status: "fulfilled", value: { state: "killed" } });
    expect(fakeHost.machines.size).toBe(0);
  });

  test("callers that want the same capture share it", async () => {
    await restart({ eagerTemplate: "none" });
    fakeHost.calls.length = 0;
    const request = machineRequest({ memoryMb: 1024 });
    await Promise.all([1, 2, 3].map(async () => plane.machines.create(request, never)));
    expect(fakeHost.calls.filter((call) => call === "prepareTemplate")).toHaveLength(1);
  });

  test("beyond the host's room there are no more machines, until one goes", async () => {
    await restart({ capacity: { maxMachines: 2, maxMemoryMb: 1100 } });
    const first = await plane.machines.create(machineRequest(), never);
    await expect(plane.machines.create(machineRequest({ memoryMb: 700 }), never)).rejects.toEqual(
      expect.objectContaining({
        reason: ErrorReason.CAPACITY_EXCEEDED,
        details: { free_memory_mb: "588" },
      }),
    );
    await plane.machines.create(machineRequest(), never);
    const third = plane.machines.create(machineRequest({ memoryMb: 128 }), never);
    await expect(third).rejects.toThrow("2 machines of at most 2");
    await plane.machines.kill(first.id, never);
    await plane.machines.create(machineRequest(), never);

    await restart({ capacity: { maxMachines: 2, maxMemoryMb: 1100 } });
    await expect(plane.machines.create(machineRequest(), never)).rejects.toThrow("2 machines");
  });
});

describe("kill", () => {
  test("is idempotent, and one of many at a time does the work", async () => {
    const { id } = await plane.machines.create(machineRequest(), never);
    const killed = await Promise.all([1, 2, 3].map(async () => plane.machines.kill(id, never)));
    expect(killed.map(({ state }) => state)).toEqual(["killed", "killed", "killed"]);
    expect(fakeHost.calls.filter((call) => call === "stopMachine")).toHaveLength(1);
    expect(await plane.machines.kill(id, never)).toEqual(killed[0]);
    await expect(plane.machines.kill("m0", never)).rejects.toEqual(
      faultOf(ErrorReason.MACHINE_NOT_FOUND),
    );
  });

  test("goes on when the caller gives up", async () => {
    const { id } = await plane.machines.create(machineRequest(), never);
    const released = Promise.withResolvers<void>();
    fakeHost.hooks.stopMachine = () => released.promise;
    const caller = new AbortController();
    const killing = plane.machines.kill(id, caller.signal);
    await untilMachine(plane.machines, id, ({ state }) => state === "killing");
    caller.abort(new Error("gone"));
    await expect(killing).rejects.toThrow("gone");
    released.resolve();
    await untilMachine(plane.machines, id, ({ state }) => state === "killed");
  });

  test("one that the host could not do is done by the next server", async () => {
    const { id } = await plane.machines.create(machineRequest(), never);
    fakeHost.hooks.stopMachine = async () => {
      throw new Fault(ErrorReason.DISK_FULL, "no space");
    };
    await expect(plane.machines.kill(id, never)).rejects.toThrow("no space");
    expect(await plane.machines.get(id)).toMatchObject({ state: "killing" });
    delete fakeHost.hooks.stopMachine;
    await restart();
    expect(await plane.machines.get(id)).toMatchObject({ state: "killed" });
    expect(fakeHost.machines.size).toBe(0);
  });

  test("when its record finds no room, the host lets go first, which makes it", async () => {
    class FullStore extends SqlMachineStore {
      override async transition(...args: Parameters<SqlMachineStore["transition"]>) {
        const isFull = args[1] === TRANSITIONS.kill && fakeHost.machines.size > 0;
        if (isFull) throw new Fault(ErrorReason.DISK_FULL, "no space");
        return super.transition(...args);
      }
    }
    await restart({ machineStore: new FullStore(database) });
    const { id } = await plane.machines.create(machineRequest(), never);
    expect(await plane.machines.kill(id, never)).toMatchObject({ state: "killed" });
    expect(fakeHost.machines.size).toBe(0);
  });

  test("one that takes too long ends in failed", async () => {
    const { id } = await plane.machines.create(machineRequest(), never);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    fakeHost.hooks.stopMachine = async () => {
      throw new Fault(ErrorReason.DISK_FULL, "no space");
    };
    await expect(plane.machines.kill(id, never)).rejects.toThrow("no space");
    vi.advanceTimersByTime(90_000);
    vi.useRealTimers();
    const failed = await untilMachine(plane.machines, id, ({ state }) => state === "failed");
    expect(failed.failure).toBe("the machine was killing for more than 90 s");
  });
});

describe("deadlines", () => {
  const inOneSecond = machineRequest({ timeoutSeconds: 1 });

  test("a machine is killed when its time is up", async () => {
    const { id } = await plane.machines.create(inOneSecond, never);
    const ended = await untilMachine(plane.machines, id, ({ state }) => state === "killed");
    expect(ended.endedAt?.getTime()).toBeGreaterThanOrEqual(ended.timeoutAt?.getTime() ?? Infinity);
    expect(fakeHost.machines.size).toBe(0);
  });

  test("a deadline that passed while no server ran is met at the start", async () => {
    const { id } = await plane.machines.create(machineRequest(), never);
    await store.setTimeouts(id, "running", { timeoutAt: new Date(Date.now() - 1000) }, new Date());
    await restart();
    expect(await plane.machines.get(id)).toMatchObject({ state: "killed" });
  });

  test("a deadline moves, goes, and comes nearer", async () => {
    const { id } = await plane.machines.create(inOneSecond, never);
    const kept = await plane.machines.setTimeout(id, 0);
    expect(kept.timeoutAt).toBeUndefined();
    const other = await plane.machines.create(inOneSecond, never);
    await untilMachine(plane.machines, other.id, ({ state }) => state === "killed");
    expect(await plane.machines.get(id)).toMatchObject({ state: "running" });
    await plane.machines.setTimeout(id, 1, { onTimeout: "kill" });
    await untilMachine(plane.machines, id, ({ state }) => state === "killed");
    await expect(plane.machines.setTimeout(id, 1)).rejects.toEqual(
      faultOf(ErrorReason.MACHINE_NOT_RUNNING),
    );
  });

  test("more machines than a batch are all ended", async () => {
    const made = await Promise.all(
      Array.from({ length: 40 }, async () => plane.machines.create(machineRequest(), never)),
    );
    for (const { id } of made)
      await store.setTimeouts(id, "running", { timeoutAt: new Date(1) }, new Date());
    await restart();
    expect((await plane.machines.list(query({ states: ["killed"] }))).items).toHaveLength(40);
  });
});

describe("what went wrong meanwhile", () => {
  test("a machine that dies is failed at once, with the end of its console", async () => {
    const { id } = await plane.machines.create(machineRequest(), never);
    fakeHost.die(id, "\u001b[31mKernel panic\u001b[0m\0 - not syncing\r\n");
    const failed = await untilMachine(plane.machines, id, ({ state }) => state === "failed");
    expect(failed.failure).toContain("Kernel panic - not syncing");
    await vi.waitFor(() => expect(fakeHost.machines.size).toBe(0));
    await expect(plane.machines.getRunning(id)).rejects.toEqual(faultOf(ErrorReason.MACHINE_DIED));
  });

  test("a machine that died while no server ran is failed at the start", async () => {
    const dead = await plane.machines.create(machineRequest(), never);
    const gone = await plane.machines.create(machineRequest(), never);
    const alive = await plane.machines.create(machineRequest(), never);
    await plane[Symbol.asyncDispose]();
    fakeHost.die(dead.id, "Out of memory");
    await fakeHost.machines.get(gone.id)?.agent?.[Symbol.asyncDispose]();
    fakeHost.machines.delete(gone.id);
    await start();
    expect(await plane.machines.get(dead.id)).toMatchObject({
      state: "failed",
      failure: textWith("Out of memory"),
    });
    expect(await plane.machines.get(gone.id)).toMatchObject({ state: "failed" });
    expect(await plane.machines.get(alive.id)).toEqual(alive);
    expect([...fakeHost.machines.keys()]).toEqual([alive.id]);
  });

  test("machines that nobody asked for are reaped", async () => {
    fakeHost.machines.set("mghost", {
      state: HostMachineState.STARTING,
      consoleTail: "",
      agent: undefined,
      count: 0,
      request: undefined,
    });
    await restart();
    expect(fakeHost.machines.size).toBe(0);
  });

  test("a machine without a maker is failed as interrupted, and its key set free", async () => {
    const { id, idempotencyKey } = newMachine({ idempotencyKey: "k" });
    await store.insert(newMachine({ id, idempotencyKey, createdAt: new Date(1) }), NOTE);
    await restart();
    expect(await plane.machines.get(id)).toMatchObject({
      state: "failed",
      failure: textWith("interrupted"),
    });
    expect(await store.findByIdempotencyKey(DEFAULT_PROJECT, "k")).toBeUndefined();
  });

  test("machines of another host are left alone", async () => {
    const other = newMachine({ hostId: "h2" });
    await store.insert(other, NOTE);
    const changes = { timeoutAt: new Date(1) };
    const running = await store.transition(other.id, TRANSITIONS.start, new Date(1), changes, NOTE);
    await restart();
    expect(await plane.machines.get(other.id)).toEqual(running);
    await expect(plane.machines.kill(other.id, never)).rejects.toEqual(
      faultOf(ErrorReason.AGENT_UNREACHABLE),
    );
    await expect(plane.machines.getRunning(other.id)).rejects.toEqual(
      faultOf(ErrorReason.AGENT_UNREACHABLE),
    );
  });
});

describe("watch", () => {
  test("shows every live machine once, then each change", async () => {
    const { id } = await plane.machines.create(machineRequest(), never);
    const steps = plane.machines.watch(DEFAULT_PROJECT, never);
    expect(await steps.next()).toMatchObject({ value: { machine: { id, state: "running" } } });
    expect(await steps.next()).toEqual({ done: false, value: { synced: true } });
    const next = async () => {
      const { value } = await steps.next();
      if (value === undefined || !("machine" in value)) throw new Error("no machine");
      return value.machine;
    };
    const other = await plane.machines.create(machineRequest(), never);
    // It was creating before it ran: a slow reader gets the latest state only.
    expect(await next()).toMatchObject({ id: other.id, state: "running" });
    await plane.machines.kill(id, never);
    expect(await next()).toMatchObject({ id, state: "killed" });
    await steps.return();
  });

  test("ends with its signal", async () => {
    const stop = new AbortController();
    const steps = plane.machines.watch(DEFAULT_PROJECT, stop.signal);
    await steps.next();
    const waiting = steps.next();
    stop.abort(new Error("stopped"));
    await expect(waiting).rejects.toThrow("stopped");
  });
});

test("a template that is captured eagerly is waited for by the first create", async () => {
  await plane[Symbol.asyncDispose]();
  fakeHost.calls.length = 0;
  const captured = Promise.withResolvers<void>();
  fakeHost.hooks.prepareTemplate = () => captured.promise;
  await start();
  const creating = plane.machines.create(machineRequest(), never);
  await vi.waitFor(() => expect(fakeHost.calls).toEqual(["prepareTemplate"]));
  expect((await store.list(query())).items).toEqual([]);
  captured.resolve();
  expect(await creating).toMatchObject({ state: "running" });
  expect(fakeHost.calls).toEqual(["prepareTemplate", "startMachine"]);
});
