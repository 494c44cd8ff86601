import { afterEach, beforeEach, expect, test } from "vitest";
import { never, TestWorld } from "../testing/world.js";
import type { Event } from "./event.js";
import { eventQuery } from "../testing/machines.js";

let world: TestWorld;

beforeEach(async () => {
  world = await TestWorld.open();
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

/** Reads so many events of a watch and leaves it. */
async function read(
  watch: AsyncGenerator<Event, void, undefined>,
  count: number,
): Promise<Event[]> {
  const events: Event[] = [];
  while (events.length < count) {
    const step = await watch.next();
    if (step.done === true) throw new Error("the watch ended");
    events.push(step.value);
  }
  await watch.return();
  return events;
}

test("a watch goes on from what was written to what happens, without a gap or a repetition", async () => {
  const { id } = await world.addRunning();
  const first = (await world.events(id))[0]?.id ?? 0;
  const all = read(world.plane.events.watch(first, eventQuery(""), never), 400);
  const work = async () => {
    for (let round = 0; round < 10; round++) {
      const machine = await world.addRunning();
      await world.plane.machines.setTimeout(machine.id, 100 + round);
      await world.plane.machines.kill(machine.id, never);
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
  const ids = (await all).map((event) => event.id);
  expect(ids).toEqual(Array.from({ length: 400 }, (_, index) => first + 1 + index));
});

test("without a cursor a watch begins now; with a machine it tells of that one only", async () => {
  const old = await world.addRunning();
  const now = world.plane.events.watch(0, eventQuery(""), never);
  const next = now.next();
  const other = world.plane.events.watch(1, eventQuery(old.id), never);
  await world.plane.machines.setTimeout(old.id, 5);
  const { id } = await world.addRunning();
  await world.plane.machines.kill(old.id, never);
  expect((await next).value).toMatchObject({ type: "machine timeout set", machineId: old.id });
  expect((await read(now, 1))[0]).toMatchObject({ machineId: id, toState: "creating" });
  const seen = await read(other, 4);
  expect(seen.map(({ machineId }) => machineId)).toEqual([old.id, old.id, old.id, old.id]);
  expect(seen.map(({ toState }) => toState)).toEqual(["running", undefined, "killing", "killed"]);
});

test("a watch ends with its signal", async () => {
  const stop = new AbortController();
  const next = world.plane.events.watch(0, eventQuery(""), stop.signal).next();
  await world.plane.events.list(eventQuery(""), 1, "");
  stop.abort(new Error("enough"));
  await expect(next).rejects.toThrow("enough");
});

test("events are listed in pages, newest first", async () => {
  const { id } = await world.addRunning();
  await world.plane.machines.kill(id, never);
  const page = await world.plane.events.list(eventQuery(id), 3, "");
  expect(page.items.map(({ toState }) => toState)).toEqual(["killed", "killing", "running"]);
  const rest = await world.plane.events.list(eventQuery(id), 3, page.nextCursor);
  expect([rest.items.map(({ toState }) => toState), rest.nextCursor]).toEqual([["creating"], ""]);
  await expect(world.plane.events.list(eventQuery(""), 3, "x")).rejects.toThrow(
    "cursor is not one",
  );
});

test("they say from which state, why, and how long each phase took", async () => {
  const { id } = await world.addRunning();
  const started = (await world.events(id)).at(-1);
  expect(started).toMatchObject({ fromState: "creating", toState: "running", cause: "request" });
  expect(Object.keys(started?.timings ?? {})).toEqual(
    expect.arrayContaining(["resolveMs", "insertMs", "startMs"]),
  );
});
