import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostMachineState } from "@nullspace/proto/host";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDatabase } from "../store/database.js";
import { machineRequest, testControlPlane } from "../testing/control-plane.js";
import { FakeHost } from "../testing/fake-host.js";
import { query } from "../testing/machines.js";
import { Life } from "../testing/mortal.js";
import type { ControlPlane } from "./control-plane.js";
import { hasEnded } from "./machine.js";

const never = new AbortController().signal;
/** More than any of the operations below makes. */
const MOST_STEPS = 60;

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
  for (const { id, state } of items) expect([id, state]).not.toContain("creating");
  const running = items.filter(({ state }) => state === "running").map(({ id }) => id);
  for (const { state } of items) expect(state === "running" || hasEnded(state)).toBe(true);
  const held = [...fakeHost.machines].map(([id, { state }]) => ({ id, state }));
  expect(held).toEqual(running.map((id) => ({ id, state: HostMachineState.RUNNING })));
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
