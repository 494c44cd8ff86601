import * as fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Machine } from "../domain/machine.js";
import type { MachineQuery, NewMachine } from "../domain/machine-store.js";
import type { PreviewPass } from "../domain/preview-grant.js";
import { TRANSITIONS } from "../domain/transitions.js";
import {
  eventQuery,
  HOST_ID,
  newMachine,
  newSnapshot,
  query,
  snapshotQuery,
} from "../testing/machines.js";
import { type Backend, BACKENDS } from "../testing/backends.js";
import { type Database, openDatabase } from "./database.js";
import { SqlEventStore } from "./events.js";
import { SqlKeyStore } from "./keys.js";
import { SqlMachineStore } from "./machines.js";
import { SqlPreviewStore } from "./previews.js";
import { SqlSnapshotStore } from "./snapshots.js";
import { DEFAULT_PROJECT } from "../domain/project.js";
import { Quotas } from "../domain/quotas.js";
import { Scope } from "@nullspace/proto";
import { SqlSshAccessStore } from "./ssh-accesses.js";

const NOW = new Date(1_800_000_100_000);
const NOTE = { cause: "test" };
const onIdleError = (error: Error) => {
  throw error;
};

describe.each(BACKENDS)("%s", (_name, startBackend) => {
  let backend: Backend;
  let location: string;
  let database: Database;
  let machines: SqlMachineStore;
  let keys: SqlKeyStore;
  let snapshots: SqlSnapshotStore;
  let events: SqlEventStore;
  let previews: SqlPreviewStore;

  beforeAll(async () => {
    backend = await startBackend();
  }, 60_000);
  afterAll(async () => backend[Symbol.asyncDispose]());

  beforeEach(async () => {
    location = await backend.createDatabase();
    database = await openDatabase(location, onIdleError);
    machines = new SqlMachineStore(database);
    keys = new SqlKeyStore(database);
    snapshots = new SqlSnapshotStore(database);
    previews = new SqlPreviewStore(database);
    events = new SqlEventStore(database);
    return async () => database.destroy();
  });

  async function add(fields: Partial<NewMachine> = {}): Promise<Machine> {
    const machine = await machines.insert(newMachine(fields), NOTE);
    if (machine === undefined) throw new Error("its idempotency key was taken");
    return machine;
  }

  async function idsOf(fields: Partial<MachineQuery>): Promise<string[]> {
    return (await machines.list(query(fields))).items.map(({ id }) => id).toSorted();
  }

  async function addRunning(timeoutAt: Date | undefined, hostId = HOST_ID): Promise<Machine> {
    const { id } = await add({ hostId });
    const running = await machines.transition(id, TRANSITIONS.start, NOW, { timeoutAt }, NOTE);
    if (running === undefined) throw new Error("it did not start");
    return running;
  }

  test("a machine reads back as it was written", async () => {
    const machine = newMachine({ metadata: { team: "a'b\"c", emoji: "🚀", empty: "" } });
    const inserted = await machines.insert(machine, NOTE);
    const { idempotencyKey: _, ...expected } = machine;
    expect(inserted).toMatchObject({ ...expected, state: "creating", revision: 1, failure: "" });
    expect(inserted?.startedAt).toBeUndefined();
    expect(await machines.find(machine.id)).toEqual(inserted);
    expect(await machines.find("m0")).toBeUndefined();
  });

  test("a database that exists already is opened as it is", async () => {
    const machine = await add();
    const again = await openDatabase(location, onIdleError);
    expect(await new SqlMachineStore(again).find(machine.id)).toEqual(machine);
    await again.destroy();
  });

  test("a transition writes all its changes, and only from the states it leaves", async () => {
    const { id } = await add();
    const receipt = {
      generation: 3,
      clockSkewMs: -7,
      kind: "fork" as const,
      entropyReseeded: true,
      identityRenewed: true,
    };
    const changes = { startedAt: NOW, timeoutAt: NOW, receipt };
    const running = await machines.transition(id, TRANSITIONS.start, NOW, changes, NOTE);
    expect(running).toMatchObject({ state: "running", stateSince: NOW, revision: 2, ...changes });
    expect(await machines.find(id)).toEqual(running);

    expect(await machines.transition(id, TRANSITIONS.start, NOW, {}, NOTE)).toBeUndefined();
    expect(await machines.transition(id, TRANSITIONS.finish, NOW, {}, NOTE)).toBeUndefined();
    expect(await machines.find(id)).toEqual(running);

    const failed = await machines.transition(
      id,
      TRANSITIONS.fail,
      NOW,
      { failure: "it broke" },
      NOTE,
    );
    expect(failed).toMatchObject({ state: "failed", failure: "it broke", revision: 3, receipt });
  });

  test("of concurrent transitions exactly one wins", async () => {
    const { id } = await add();
    const attempts = Array.from({ length: 8 }, () =>
      machines.transition(id, TRANSITIONS.start, NOW, {}, NOTE),
    );
    const won = (await Promise.all(attempts)).filter((machine) => machine !== undefined);
    expect(won).toHaveLength(1);
  });

  test("an idempotency key belongs to one machine until it is released", async () => {
    const first = await add({ idempotencyKey: "k", metadata: { a: "1" } });
    expect(
      await machines.insert(newMachine({ idempotencyKey: "k", metadata: { a: "1" } }), NOTE),
    ).toBe(undefined);
    expect(await machines.findByIdempotencyKey(DEFAULT_PROJECT, "k")).toEqual(first);
    await machines.transition(first.id, TRANSITIONS.fail, NOW, { releaseKey: true }, NOTE);
    expect(await machines.findByIdempotencyKey(DEFAULT_PROJECT, "k")).toBeUndefined();
    expect((await add({ idempotencyKey: "k" })).id).not.toBe(first.id);
  });

  test("of concurrent inserts under one key exactly one wins", async () => {
    const attempts = Array.from({ length: 8 }, () =>
      machines.insert(newMachine({ idempotencyKey: "k", metadata: { a: "1" } }), NOTE),
    );
    const won = (await Promise.all(attempts)).filter((machine) => machine !== undefined);
    expect(won).toHaveLength(1);
    expect((await machines.list(query({ metadata: { a: "1" } }))).items).toHaveLength(1);
  });

  test("pages show every machine once, newest first, also those of one instant", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 12 }),
        fc.integer({ min: 1, max: 5 }),
        async (ages, limit) => {
          await database.deleteFrom("machines").execute();
          const added: Machine[] = [];
          for (const age of ages) added.push(await add({ createdAt: new Date(1000 + age) }));
          const expected = added.toSorted(
            (a, b) => b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1),
          );
          const shown: Machine[] = [];
          let cursor = "";
          do {
            const page = await machines.list(query({ limit, cursor }));
            expect(page.items.length).toBeLessThanOrEqual(limit);
            shown.push(...page.items);
            cursor = page.nextCursor;
          } while (cursor !== "");
          expect(shown.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
        },
      ),
      { numRuns: 15 },
    );
  });

  test.each(["x", "AAAA", Buffer.from("1 ").toString("base64url"), "é".repeat(300)])(
    "a cursor that is none of ours is refused: %s",
    async (cursor) => {
      await expect(machines.list(query({ cursor }))).rejects.toThrow("cursor is not one");
      await expect(keys.list(DEFAULT_PROJECT, 1, cursor)).rejects.toThrow("cursor is not one");
    },
  );

  test("a listing matches states, template and all labels", async () => {
    const a = await add({ metadata: { team: "red", stage: "dev" } });
    const b = await add({ metadata: { team: "red" }, templateName: "desktop", templateTag: "1" });
    expect(await idsOf({ metadata: { team: "red" } })).toEqual([a.id, b.id].toSorted());
    expect(await idsOf({ metadata: { team: "red", stage: "dev" } })).toEqual([a.id]);
    expect(await idsOf({ metadata: { team: "%" } })).toEqual([]);
    expect(await idsOf({ templateName: "desktop" })).toEqual([b.id]);
    expect(await idsOf({ templateName: "desktop", templateTag: "2" })).toEqual([]);
    expect(await idsOf({ states: ["running"] })).toEqual([]);
  });

  test("deadlines: the next one, and those that are due", async () => {
    const at = (offset: number) => new Date(NOW.getTime() + offset);
    expect(await machines.nextDeadline(HOST_ID)).toBeUndefined();
    await addRunning(undefined);
    await addRunning(at(-50), "another-host");
    expect(await machines.nextDeadline(HOST_ID)).toBeUndefined();
    const late = await addRunning(at(20));
    const due = await addRunning(at(-10));
    const longDue = await addRunning(at(-30));
    expect(await machines.nextDeadline(HOST_ID)).toEqual(at(-30));
    expect(await machines.listDue(HOST_ID, NOW, 10)).toEqual([longDue, due]);
    expect(await machines.listDue(HOST_ID, NOW, 1)).toEqual([longDue]);
    expect(await machines.listDue(HOST_ID, at(20), 10)).toEqual([longDue, due, late]);
  });

  test("timeouts are set only in the state they are meant for", async () => {
    const { id, revision } = await addRunning(NOW);
    const removed = await machines.setTimeouts(id, "running", { timeoutAt: undefined }, NOW);
    expect(removed).toMatchObject({ timeoutAt: undefined, onTimeout: "kill" });
    expect(removed?.revision).toBeGreaterThan(revision);
    const changes = {
      timeoutAt: NOW,
      timeoutSeconds: 7,
      onTimeout: "pause",
      autoResume: true,
      idleSeconds: 8,
      deletePausedAfterSeconds: 31_536_000,
      deleteAt: NOW,
    } as const;
    expect(await machines.setTimeouts(id, "running", changes, NOW)).toMatchObject(changes);
    expect(await machines.setTimeouts(id, "paused", { timeoutSeconds: 1 }, NOW)).toBeUndefined();
    await machines.transition(id, TRANSITIONS.kill, NOW, {}, NOTE);
    expect(await machines.setTimeouts(id, "running", changes, NOW)).toBeUndefined();
  });

  test("live machines of one host or of all", async () => {
    const mine = await add();
    const other = await add({ hostId: "h2" });
    const ended = await add();
    await machines.transition(ended.id, TRANSITIONS.fail, NOW, {}, NOTE);
    expect((await machines.listLive(HOST_ID)).map(({ id }) => id)).toEqual([mine.id]);
    const all = (await machines.listLive(undefined)).map(({ id }) => id);
    expect(all.toSorted()).toEqual([mine.id, other.id].toSorted());
  });

  test("records of machines that ended long ago go, with their labels, a batch at a time", async () => {
    for (const endedAt of [1000, 2000, 3000, 9000]) {
      const { id } = await add({ metadata: { a: "1" } });
      await machines.transition(id, TRANSITIONS.fail, NOW, { endedAt: new Date(endedAt) }, NOTE);
    }
    const live = await add({ metadata: { a: "1" } });
    expect(await machines.deleteEnded(new Date(5000), 2)).toBe(2);
    expect(await machines.deleteEnded(new Date(5000), 2)).toBe(1);
    expect(await machines.deleteEnded(new Date(5000), 2)).toBe(0);
    expect((await machines.list(query())).items).toHaveLength(2);
    expect(await machines.find(live.id)).toBeDefined();
    const labels = await database.selectFrom("machine_labels").selectAll().execute();
    expect(labels).toHaveLength(2);
  });

  test("a pause writes machine, snapshot and events together, or nothing", async () => {
    const { id } = await addRunning(NOW);
    const snapshot = newSnapshot({ kind: "pause", machineId: id, metadata: { a: "1" } });
    const adding = { pausedSnapshotId: snapshot.id, snapshot: { add: snapshot } };
    expect(await machines.transition(id, TRANSITIONS.suspend, NOW, adding, NOTE)).toBeUndefined();
    expect(await snapshots.find(snapshot.id)).toBeUndefined();
    const pausing = await machines.transition(id, TRANSITIONS.pause, NOW, adding, NOTE);
    expect(pausing).toMatchObject({ state: "pausing", pausedSnapshotId: snapshot.id });
    const { idempotencyKey: _, ...expected } = snapshot;
    expect(await snapshots.find(snapshot.id)).toMatchObject({ ...expected, state: "creating" });

    const capture = { sizeBytes: 5_000_000_000, stoppedMs: 12.25, diskMb: 4096 };
    const complete = { snapshot: { complete: snapshot.id, capture }, deleteAt: NOW };
    const paused = await machines.transition(id, TRANSITIONS.suspend, NOW, complete, NOTE);
    expect(paused).toMatchObject({ state: "paused", deleteAt: NOW });
    expect(await snapshots.find(snapshot.id)).toMatchObject({ ...capture, state: "ready" });
    expect(await machines.findByPausedSnapshot(snapshot.id)).toEqual(paused);
    const told = (await events.listAfter(0, eventQuery(id), 100)).map((event) => [
      event.type,
      event.fromState,
      event.toState,
      event.snapshotId,
    ]);
    expect(told).toEqual([
      ["machine state", undefined, "creating", ""],
      ["machine state", "creating", "running", ""],
      ["machine state", "running", "pausing", snapshot.id],
      ["snapshot created", undefined, undefined, snapshot.id],
      ["machine state", "pausing", "paused", snapshot.id],
    ]);
  });

  test("a paused machine is due when it was paused for long enough, unless it was resumed", async () => {
    const { id } = await addRunning(undefined);
    await machines.transition(id, TRANSITIONS.pause, NOW, {}, NOTE);
    const late = new Date(NOW.getTime() + 10);
    await machines.transition(id, TRANSITIONS.suspend, NOW, { deleteAt: late }, NOTE);
    const running = await addRunning(new Date(NOW.getTime() + 20));
    expect(await machines.nextDeadline(HOST_ID)).toEqual(late);
    expect(await machines.listDue(HOST_ID, NOW, 10)).toEqual([]);
    const due = await machines.listDue(HOST_ID, new Date(NOW.getTime() + 20), 10);
    expect(due.map((machine) => machine.id)).toEqual([id, running.id]);
    await machines.transition(id, TRANSITIONS.resume, NOW, { resumedAs: running.id }, NOTE);
    await machines.transition(id, TRANSITIONS.settle, NOW, {}, NOTE);
    expect(await machines.nextDeadline(HOST_ID)).toEqual(running.timeoutAt);
  });

  test("snapshots: made, completed once, hidden, removed", async () => {
    const snapshot = newSnapshot({ idempotencyKey: "k", metadata: { a: "1" } });
    await snapshots.insert(snapshot);
    expect(await snapshots.insert(newSnapshot({ idempotencyKey: "k" }))).toBeUndefined();
    expect((await snapshots.list(snapshotQuery())).items).toEqual([]);
    const capture = { sizeBytes: 1, stoppedMs: 0.5, diskMb: 2048 };
    const made = await snapshots.complete(snapshot.id, capture, NOW, NOTE);
    expect(made).toMatchObject({ ...capture, state: "ready", metadata: { a: "1" } });
    expect(await snapshots.complete(snapshot.id, capture, NOW, NOTE)).toBeUndefined();
    expect(await snapshots.findByIdempotencyKey(DEFAULT_PROJECT, "k")).toEqual(made);
    expect((await snapshots.list(snapshotQuery({ metadata: { a: "1" } }))).items).toEqual([made]);
    expect((await snapshots.list(snapshotQuery({ metadata: { a: "2" } }))).items).toEqual([]);
    expect((await snapshots.list(snapshotQuery({ kind: "pause" }))).items).toEqual([]);
    await snapshots.beginDelete(snapshot.id);
    expect((await snapshots.list(snapshotQuery())).items).toEqual([]);
    expect(await snapshots.listOfHost(HOST_ID)).toHaveLength(1);
    await snapshots.remove(snapshot.id, NOW, NOTE);
    await snapshots.remove(snapshot.id, NOW, NOTE);
    expect(await snapshots.listOfHost(HOST_ID)).toEqual([]);
    const told = (await events.listAfter(0, eventQuery(snapshot.machineId), 10)).map(
      ({ type }) => type,
    );
    expect(told).toEqual(["snapshot created", "snapshot deleted"]);
  });

  test("events become visible in the order of their ids, also of many transactions at once", async () => {
    const seen: number[] = [];
    const read = async () => {
      while (seen.length < 60) {
        const batch = await events.listAfter(seen.at(-1) ?? 0, eventQuery(""), 7);
        seen.push(...batch.map((event) => event.id));
      }
    };
    const reading = read();
    await Promise.all(Array.from({ length: 30 }, async () => addRunning(NOW)));
    await reading;
    expect(seen).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
  });

  test("events go with the record of their machine, and not before their time", async () => {
    const live = await add({ createdAt: new Date(1000) });
    const ended = await add({ createdAt: new Date(1000) });
    const at = new Date(2000);
    await machines.transition(ended.id, TRANSITIONS.fail, at, { endedAt: at }, NOTE);
    expect(await events.deleteExpired(new Date(9000), 10)).toBe(0);
    await machines.deleteEnded(new Date(9000), 10);
    expect(await events.deleteExpired(new Date(1500), 10)).toBe(1);
    expect(await events.deleteExpired(new Date(9000), 10)).toBe(1);
    const rest = await events.listBefore(undefined, eventQuery(""), 10);
    expect(rest.map(({ machineId }) => machineId)).toEqual([live.id]);
    expect(await events.lastId()).toBe(3);
  });

  test("keys: written, used, revoked once, listed", async () => {
    const key = {
      id: "abc",
      projectId: DEFAULT_PROJECT,
      scopes: [Scope.MACHINES_READ, Scope.KEYS_WRITE],
      name: "ci",
      hash: "00",
      createdAt: new Date(1000),
      lastUsedAt: undefined,
      revokedAt: undefined,
    };
    await keys.insert(key);
    await keys.insert({ ...key, id: "def", createdAt: new Date(2000) });
    expect(await keys.find("abc")).toEqual({ ...key, projectLimits: {} });
    expect(await keys.find("xyz")).toBeUndefined();
    await keys.touch("abc", new Date(5000));
    expect(await keys.revoke("abc", undefined, new Date(6000))).toMatchObject({
      lastUsedAt: new Date(5000),
      revokedAt: new Date(6000),
    });
    expect((await keys.revoke("abc", undefined, new Date(7000)))?.revokedAt).toEqual(
      new Date(6000),
    );
    expect(await keys.revoke("xyz", undefined, NOW)).toBeUndefined();
    const first = await keys.list(DEFAULT_PROJECT, 1, "");
    expect(first.items.map(({ id }) => id)).toEqual(["def"]);
    const second = await keys.list(DEFAULT_PROJECT, 1, first.nextCursor);
    expect(second.items.map(({ id }) => id)).toEqual(["abc"]);
    expect(second.nextCursor).toBe("");
  });

  describe("preview grants", () => {
    const pass = (fields: Partial<PreviewPass> = {}): PreviewPass => ({
      id: "p1",
      machineId: "m1",
      port: 3000,
      kind: "url",
      transports: ["http", "websocket"],
      createdAt: NOW,
      expiresAt: new Date(NOW.getTime() + 60_000),
      ...fields,
    });
    const unused = {
      httpRequests: 0,
      websockets: 0,
      bytesIn: 0,
      bytesOut: 0,
      usedAt: undefined,
      lastError: "",
      lastErrorAt: undefined,
    };

    test("are kept as they were made, and their uses add up", async () => {
      await previews.insert(pass());
      expect(await previews.find("p1")).toStrictEqual({
        ...pass(),
        revokedAt: undefined,
        httpRequests: 0,
        websockets: 0,
        bytesIn: 0,
        bytesOut: 0,
        firstUsedAt: undefined,
        lastUsedAt: undefined,
        lastError: "",
        lastErrorAt: undefined,
      });
      const [first, last] = [new Date(NOW.getTime() + 1), new Date(NOW.getTime() + 2)];
      const large = 2 ** 40;
      await previews.addUse("p1", { ...unused, httpRequests: 2, bytesIn: large, usedAt: first });
      await previews.addUse("p1", { ...unused, websockets: 1, bytesOut: 5, usedAt: last });
      await previews.addUse("p1", { ...unused, bytesIn: 1, lastError: "X", lastErrorAt: last });
      await previews.addUse("p2", { ...unused, httpRequests: 1, usedAt: first });
      expect(await previews.find("p1")).toMatchObject({
        httpRequests: 2,
        websockets: 1,
        bytesIn: large + 1,
        bytesOut: 5,
        firstUsedAt: first,
        lastUsedAt: last,
        lastError: "X",
        lastErrorAt: last,
      });
      expect(await previews.find("p2")).toBeUndefined();
    });

    test("are revoked once", async () => {
      await previews.insert(pass());
      expect(await previews.revoke("p1", NOW)).toMatchObject({ revokedAt: NOW });
      expect(await previews.revoke("p1", new Date(0))).toMatchObject({ revokedAt: NOW });
      expect(await previews.revoke("p2", NOW)).toBeUndefined();
    });

    test("are listed by machine and port, newest first", async () => {
      for (const [id, port, machineId] of [
        ["p1", 1, "m1"],
        ["p2", 2, "m1"],
        ["p3", 1, "m1"],
        ["p4", 1, "m2"],
      ] as const) {
        await previews.insert(pass({ id, port, machineId }));
      }
      const list = async (port: number, limit: number, cursor = "") =>
        previews.list({ machineId: "m1", port, limit, cursor });
      const page = await list(0, 2);
      expect(page.items.map(({ id }) => id)).toStrictEqual(["p3", "p2"]);
      const rest = await list(0, 2, page.nextCursor);
      expect([rest.items.map(({ id }) => id), rest.nextCursor]).toStrictEqual([["p1"], ""]);
      expect((await list(1, 50)).items.map(({ id }) => id)).toStrictEqual(["p3", "p1"]);
    });

    test("go when their time has been over for long", async () => {
      for (const id of ["p1", "p2", "p3"]) await previews.insert(pass({ id, expiresAt: NOW }));
      await previews.insert(pass({ id: "p4" }));
      const later = new Date(NOW.getTime() + 1);
      expect(await previews.deleteExpired(later, 2)).toBe(2);
      expect(await previews.deleteExpired(later, 2)).toBe(1);
      expect(await previews.find("p4")).toBeDefined();
    });
  });

  test("access by SSH: written, used while it is good, revoked once, listed, gone with its machine", async () => {
    const accesses = new SqlSshAccessStore(database);
    const machine = await add();
    const access = {
      id: "a1",
      machineId: machine.id,
      projectId: DEFAULT_PROJECT,
      fingerprint: "SHA256:x",
      tokenHash: "00",
      createdAt: new Date(1000),
      expiresAt: new Date(9000),
      revokedAt: undefined,
      lastUsedAt: undefined,
      useCount: 0,
    };
    await accesses.insert(access);
    await accesses.insert({ ...access, id: "a2", createdAt: new Date(2000) });
    expect(await accesses.find("a1")).toEqual(access);
    expect(await accesses.find("a9")).toBeUndefined();
    const use = async (connectionId: string, at: number, hostId = HOST_ID) =>
      accesses.use(
        "a1",
        { id: connectionId, hostId, startedAt: new Date(at) },
        new Quotas({}).sshConnections,
      );
    await use("c1", 3000);
    expect(await use("c2", 4000)).toMatchObject({ lastUsedAt: new Date(4000), useCount: 2 });
    expect(await use("c3", 9000)).toBeUndefined();
    expect((await accesses.revoke("a1", new Date(5000)))?.revokedAt).toEqual(new Date(5000));
    expect((await accesses.revoke("a1", new Date(6000)))?.revokedAt).toEqual(new Date(5000));
    expect(await use("c4", 5500)).toBeUndefined();
    expect(await accesses.revoke("a9", NOW)).toBeUndefined();
    // Only what was noted is open, on its host, until its end is told: once.
    expect(await accesses.listOpen(HOST_ID)).toEqual(["c1", "c2"]);
    expect(await accesses.listOpen("h2")).toEqual([]);
    const end = { at: new Date(6000), cause: "closed", openMs: 3000 };
    const ends = await Promise.all([1, 2, 3].map(async () => accesses.end("c1", end)));
    expect(ends.filter(Boolean)).toHaveLength(1);
    const lost = { at: new Date(7000), cause: "server restart", openMs: undefined };
    expect(await accesses.end("c2", lost)).toBe(true);
    expect(await accesses.end("c3", lost)).toBe(false);
    expect(await accesses.listOpen(HOST_ID)).toEqual([]);

    const ofMachine = { machineId: machine.id, limit: 1 };
    const first = await accesses.list({ ...ofMachine, cursor: "" });
    const second = await accesses.list({ ...ofMachine, cursor: first.nextCursor });
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(["a2", "a1"]);
    expect(second.nextCursor).toBe("");
    expect((await accesses.list({ machineId: "m0", limit: 9, cursor: "" })).items).toEqual([]);

    const told = (await events.listAfter(0, eventQuery(machine.id), 20)).filter(
      ({ sshAccessId }) => sshAccessId === "a1",
    );
    expect(told.map(({ type, createdAt }) => `${type} ${createdAt.getTime()}`)).toEqual([
      "ssh access created 1000",
      "ssh connected 3000",
      "ssh connected 4000",
      "ssh access revoked 5000",
      "ssh disconnected 6000",
      "ssh disconnected 7000",
    ]);
    expect(told.slice(-2).map(({ cause, timings }) => ({ cause, timings }))).toEqual([
      { cause: "closed", timings: { openMs: 3000 } },
      { cause: "server restart", timings: {} },
    ]);
    for (const id of ["a3", "a4"]) {
      await accesses.insert({ ...access, id, expiresAt: new Date(8000) });
    }
    expect(await accesses.deleteExpired(new Date(9000), 1)).toBe(1);
    expect(await accesses.deleteExpired(new Date(9000), 9)).toBe(1);
    expect(await accesses.find("a4")).toBeUndefined();
    expect(await accesses.find("a2")).toBeDefined();
    await machines.transition(machine.id, TRANSITIONS.fail, NOW, { endedAt: NOW }, NOTE);
    await machines.deleteEnded(new Date(NOW.getTime() + 1), 10);
    expect(await accesses.find("a2")).toBeUndefined();
  });
});
