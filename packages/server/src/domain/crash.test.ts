import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { HostMachineState } from "@nullspace/proto/host";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDatabase } from "../store/database.js";
import { machineRequest, testControlPlane } from "../testing/control-plane.js";
import { FakeHost } from "../testing/fake-host.js";
import { query, snapshotQuery } from "../testing/machines.js";
import { Life } from "../testing/mortal.js";
import type { ControlPlane } from "./control-plane.js";
import { hasEnded } from "./machine.js";
import { DEFAULT_PROJECT } from "./project.js";

const never = new AbortController().signal;
/** More than any of the operations below makes. */
const MOST_STEPS = 120;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "crash-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** Host and database: what outlives a server. */
async function openWorld(name: string) {
  const fakeHost = new FakeHost();
  const location = join(directory, `${name}.db`);
  const openStore = async () => openDatabase(location, () => undefined);
  return { fakeHost, openStore };
}

type World = Awaited<ReturnType<typeof openWorld>>;

/** Starts a server that lives for so many steps, and lets it work until it is done or dead. */
async function workUntilDeath(
  { fakeHost, openStore }: World,
  steps: number,
  work: (plane: ControlPlane) => Promise<unknown>,
): Promise<"done" | "died"> {
  const database = await openStore();
  const life = new Life(steps);
  const plane = testControlPlane({ fakeHost, database, life });
  const working = plane.start().then(async () => work(plane));
  const done = working.then(() => "done" as const);
  const died = life.over.then(() => "died" as const);
  const outcome = await Promise.race([done, died]);
  if (outcome === "done") await plane[Symbol.asyncDispose]();
  return outcome;
}

/** What must hold whenever a server has started: records and host agree, and nothing is half-way. */
async function expectConsistent(plane: ControlPlane, fakeHost: FakeHost): Promise<void> {
  const { items } = await plane.machines.list(query({ limit: 100 }));
  const running = items.filter(({ state }) => state === "running").map(({ id }) => id);
  for (const { state } of items) {
    expect(state === "running" || state === "paused" || hasEnded(state)).toBe(true);
  }
  const held = [...fakeHost.machines].map(([id, { state }]) => ({ id, state }));
  expect(held.toSorted(byId)).toEqual(
    running.map((id) => ({ id, state: HostMachineState.RUNNING })).toSorted(byId),
  );
  const snapshots = (await plane.snapshots.list(snapshotQuery({ limit: 100 }))).items;
  expect([...fakeHost.snapshots.keys()].toSorted()).toEqual(
    snapshots.map(({ id }) => id).toSorted(),
  );
  const pauses = snapshots.filter(({ kind }) => kind === "pause").map(({ id }) => id);
  const aliases = items.filter(({ state }) => state === "paused");
  expect(pauses.toSorted()).toEqual(
    aliases.map(({ pausedSnapshotId }) => pausedSnapshotId).toSorted(),
  );
  const successors = aliases.map(({ resumedAs }) => resumedAs).filter((id) => id !== "");
  expect(running).toEqual(expect.arrayContaining(successors));
}

function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : 1;
}

/** What a test of an operation that is cut off anywhere is made of. */
interface Cut<T> {
  /** Brings the world to where the operation begins. */
  readonly prepare: (plane: ControlPlane, fakeHost: FakeHost) => Promise<T>;
  readonly work: (plane: ControlPlane, prepared: T) => Promise<unknown>;
  /** What must hold for the next server besides {@link expectConsistent}. */
  readonly check: (plane: ControlPlane, prepared: T, fakeHost: FakeHost) => Promise<void>;
}

/** Kills a server at each step of an operation, one after the other, and starts another one. */
async function cutEverywhere<T>(name: string, { prepare, work, check }: Cut<T>): Promise<number> {
  let deaths = 0;
  for (let steps = 0; steps < MOST_STEPS; steps++) {
    const world = await openWorld(`${name}-${steps}`);
    const { fakeHost } = world;
    const database = await world.openStore();
    const first = testControlPlane({ fakeHost, database });
    await first.start();
    const prepared = await prepare(first, fakeHost);
    await first[Symbol.asyncDispose]();
    await database.destroy();

    const outcome = await workUntilDeath(world, steps, async (plane) => work(plane, prepared));
    if (outcome === "died") deaths++;

    const nextDatabase = await world.openStore();
    const next = testControlPlane({ fakeHost, database: nextDatabase });
    await next.start();
    await expectConsistent(next, fakeHost);
    await check(next, prepared, fakeHost);
    await expectConsistent(next, fakeHost);
    await next[Symbol.asyncDispose]();
    await nextDatabase.destroy();
    await fakeHost[Symbol.asyncDispose]();
    if (outcome === "done") break;
  }
  expect(deaths).toBeLessThan(MOST_STEPS);
  return deaths;
}

/** A running machine that has counted to 7. */
async function addCounting(plane: ControlPlane, fakeHost: FakeHost): Promise<string> {
  const { id } = await plane.machines.create(machineRequest(), never);
  const machine = fakeHost.machines.get(id);
  if (machine !== undefined) machine.count = 7;
  return id;
}

/** Whatever happened to it, it can be reached and has lost nothing. */
async function expectCountsOn(plane: ControlPlane, id: string, fakeHost: FakeHost): Promise<void> {
  const { machine } = await plane.machines.connect(id, undefined, never);
  expect(machine.state).toBe("running");
  expect(fakeHost.machines.get(machine.id)?.count).toBe(7);
}

async function snapshot(plane: ControlPlane, machineId: string) {
  const request = {
    projectId: DEFAULT_PROJECT,
    machineId,
    name: "",
    metadata: {},
    idempotencyKey: "k",
  };
  return plane.snapshots.create(request, never);
}

async function fork(plane: ControlPlane, id: string) {
  const request = {
    projectId: DEFAULT_PROJECT,
    id,
    count: 2,
    idempotencyKey: "k",
    metadata: {},
    envs: {},
  };
  return plane.machines.fork(
    { ...request, timeoutSeconds: undefined, onTimeout: undefined },
    never,
  );
}

test("a server that is killed at any step of a create leaves one machine or none", async () => {
  const request = machineRequest({ idempotencyKey: "k", metadata: { a: "1" } });
  let deaths = 0;
  for (let steps = 0; steps < MOST_STEPS; steps++) {
    const world = await openWorld(`create-${steps}`);
    const outcome = await workUntilDeath(world, steps, async (plane) =>
      plane.machines.create(request, never),
    );
    if (outcome === "died") deaths++;

    const database = await world.openStore();
    const plane = testControlPlane({ fakeHost: world.fakeHost, database });
    await plane.start();
    await expectConsistent(plane, world.fakeHost);
    const retried = await plane.machines.create(request, never);
    expect(retried.state).toBe("running");
    expect([...world.fakeHost.machines.keys()]).toEqual([retried.id]);
    await plane[Symbol.asyncDispose]();
    await database.destroy();
    await world.fakeHost[Symbol.asyncDispose]();
    if (outcome === "done") break;
  }
  expect(deaths).toBeGreaterThan(10);
  expect(deaths).toBeLessThan(MOST_STEPS);
}, 30_000);

test("a server that is killed at any step of a kill leaves it done or not begun", async () => {
  let deaths = 0;
  for (let steps = 0; steps < MOST_STEPS; steps++) {
    const world = await openWorld(`kill-${steps}`);
    const first = testControlPlane({ fakeHost: world.fakeHost, database: await world.openStore() });
    await first.start();
    const { id } = await first.machines.create(machineRequest(), never);
    await first[Symbol.asyncDispose]();

    const outcome = await workUntilDeath(world, steps, async (plane) =>
      plane.machines.kill(id, never),
    );
    if (outcome === "died") deaths++;

    const database = await world.openStore();
    const plane = testControlPlane({ fakeHost: world.fakeHost, database });
    await plane.start();
    await expectConsistent(plane, world.fakeHost);
    expect(await plane.machines.kill(id, never)).toMatchObject({ state: "killed" });
    expect(world.fakeHost.machines.size).toBe(0);
    await plane[Symbol.asyncDispose]();
    await database.destroy();
    await world.fakeHost[Symbol.asyncDispose]();
    if (outcome === "done") break;
  }
  expect(deaths).toBeGreaterThan(5);
  expect(deaths).toBeLessThan(MOST_STEPS);
}, 30_000);

test("a server that is killed at any step of a pause loses nothing of the machine", async () => {
  const deaths = await cutEverywhere("pause", {
    prepare: addCounting,
    work: async (plane, id) => plane.machines.pause(id, never),
    async check(plane, id, fakeHost) {
      expect(["running", "paused"]).toContain((await plane.machines.get(id)).state);
      await expectCountsOn(plane, id, fakeHost);
    },
  });
  expect(deaths).toBeGreaterThan(10);
}, 60_000);

test("a server that is killed at any step of a pause that fails leaves it running or paused", async () => {
  const deaths = await cutEverywhere("failing-pause", {
    async prepare(plane, fakeHost) {
      const id = await addCounting(plane, fakeHost);
      let first = true;
      fakeHost.hooks.captureMachine = async () => {
        if (first) throw new Fault(ErrorReason.DISK_FULL, "no space");
      };
      fakeHost.hooks.deleteSnapshot = async () => {
        first = false;
      };
      return id;
    },
    work: async (plane, id) => plane.machines.pause(id, never).catch(() => undefined),
    async check(plane, id, fakeHost) {
      expect(["running", "paused"]).toContain((await plane.machines.get(id)).state);
      await expectCountsOn(plane, id, fakeHost);
    },
  });
  expect(deaths).toBeGreaterThan(10);
}, 60_000);

test("a server that is killed at any step of a resume leaves it paused or resumed, once", async () => {
  const deaths = await cutEverywhere("resume", {
    async prepare(plane, fakeHost) {
      const id = await addCounting(plane, fakeHost);
      await plane.machines.pause(id, never);
      return id;
    },
    work: async (plane, id) => plane.machines.connect(id, undefined, never),
    async check(plane, id, fakeHost) {
      expect(fakeHost.machines.size).toBeLessThanOrEqual(1);
      expect((await plane.machines.get(id)).state).toBe("paused");
      await expectCountsOn(plane, id, fakeHost);
      expect(fakeHost.machines.size).toBe(1);
    },
  });
  expect(deaths).toBeGreaterThan(10);
}, 60_000);

test("a server that is killed at any step of the end of a resumed machine ends its alias too", async () => {
  const deaths = await cutEverywhere("kill-resumed", {
    async prepare(plane, fakeHost) {
      const alias = await addCounting(plane, fakeHost);
      await plane.machines.pause(alias, never);
      const { machine } = await plane.machines.connect(alias, undefined, never);
      return { alias, id: machine.id };
    },
    work: async (plane, { id }) => plane.machines.kill(id, never),
    async check(plane, { alias, id }, fakeHost) {
      await plane.machines.kill(id, never);
      expect((await plane.machines.get(alias)).state).toBe("killed");
      expect(fakeHost.machines.size + fakeHost.snapshots.size).toBe(0);
    },
  });
  expect(deaths).toBeGreaterThan(10);
}, 60_000);

test("a server that is killed at any step of a snapshot leaves it whole or not there", async () => {
  const deaths = await cutEverywhere("snapshot", {
    prepare: addCounting,
    work: snapshot,
    async check(plane, id, fakeHost) {
      const retried = await snapshot(plane, id);
      expect([...fakeHost.snapshots.keys()]).toEqual([retried.id]);
      await expectCountsOn(plane, id, fakeHost);
      await plane.snapshots.delete(retried.id, never);
    },
  });
  expect(deaths).toBeGreaterThan(8);
}, 60_000);

test("a server that is killed at any step of a deletion leaves the snapshot or nothing", async () => {
  const deaths = await cutEverywhere("delete", {
    async prepare(plane, fakeHost) {
      const machineId = await addCounting(plane, fakeHost);
      const request = {
        projectId: DEFAULT_PROJECT,
        machineId,
        name: "",
        metadata: {},
        idempotencyKey: "",
      };
      return plane.snapshots.create(request, never);
    },
    work: async (plane, { id }) => plane.snapshots.delete(id, never),
    async check(plane, { id }, fakeHost) {
      await plane.snapshots.delete(id, never);
      expect(fakeHost.snapshots.size).toBe(0);
    },
  });
  expect(deaths).toBeGreaterThan(5);
}, 60_000);

test("a server that is killed at any step of a fork leaves whole children and no snapshot", async () => {
  const deaths = await cutEverywhere("fork", {
    prepare: addCounting,
    work: fork,
    async check(plane, id, fakeHost) {
      expect(fakeHost.snapshots.size).toBe(0);
      const outcomes = await fork(plane, id);
      for (const outcome of outcomes) {
        if (!("machine" in outcome)) continue;
        expect(fakeHost.machines.get(outcome.machine.id)?.count).toBe(7);
      }
      // The source and those children that the caller is told of: no others.
      const made = outcomes.filter((outcome) => "machine" in outcome).length;
      expect(fakeHost.machines.size).toBe(1 + made);
      expect(made).toBeGreaterThan(0);
      await expectCountsOn(plane, id, fakeHost);
    },
  });
  expect(deaths).toBeGreaterThan(15);
}, 120_000);
