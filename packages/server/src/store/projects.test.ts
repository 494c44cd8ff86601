import { ErrorReason, Scope } from "@nullspace/proto";
import { Kysely } from "kysely";
import { Migrator } from "kysely/migration";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AuditEntry } from "../domain/audit.js";
import { DEFAULT_PROJECT } from "../domain/project.js";
import { Quotas } from "../domain/quotas.js";
import { TRANSITIONS } from "../domain/transitions.js";
import { type Backend, BACKENDS } from "../testing/backends.js";
import {
  eventQuery,
  HOST_ID,
  newMachine,
  newSnapshot,
  query,
  snapshotQuery,
} from "../testing/machines.js";
import { SqlAuditStore } from "./audit.js";
import { type Database, dialectFor, openDatabase } from "./database.js";
import { SqlEventStore } from "./events.js";
import { SqlKeyStore } from "./keys.js";
import { SqlMachineStore } from "./machines.js";
import { MIGRATIONS } from "./migrations.js";
import { SqlProjectStore } from "./projects.js";
import { SqlSnapshotStore } from "./snapshots.js";
import { SqlSshAccessStore } from "./ssh-accesses.js";

const NOTE = { cause: "test" };
const MIB = 1 << 20;
const onIdleError = (error: Error) => {
  throw error;
};

describe.each(BACKENDS)("%s", (_name, startBackend) => {
  let backend: Backend;
  let location: string;
  let database: Database;
  let projects: SqlProjectStore;
  let machines: SqlMachineStore;
  let snapshots: SqlSnapshotStore;

  beforeAll(async () => {
    backend = await startBackend();
  }, 60_000);
  afterAll(async () => backend[Symbol.asyncDispose]());

  beforeEach(async () => {
    location = await backend.createDatabase();
    database = await openDatabase(location, onIdleError);
    projects = new SqlProjectStore(database);
    machines = new SqlMachineStore(database);
    snapshots = new SqlSnapshotStore(database);
    await projects.insert({ id: "team-a", createdAt: new Date(1000), limits: { machines: 3 } });
    return async () => database.destroy();
  });

  test("projects: written once, listed, limited", async () => {
    const again = { id: "team-a", createdAt: new Date(2000), limits: {} };
    expect(await projects.insert(again)).toBe(false);
    expect(await projects.find("team-a")).toEqual({
      id: "team-a",
      createdAt: new Date(1000),
      limits: { machines: 3 },
    });
    expect(await projects.find("nobody")).toBeUndefined();
    expect((await projects.setLimits("team-a", { vcpus: 0 }))?.limits).toEqual({ vcpus: 0 });
    expect(await projects.setLimits("nobody", {})).toBeUndefined();
    const first = await projects.list(1, "");
    const second = await projects.list(1, first.nextCursor);
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(["default", "team-a"]);
  });

  test("what is asked for a project is that project's", async () => {
    const events = new SqlEventStore(database);
    const own = newMachine({ projectId: "team-a" });
    const other = newMachine();
    for (const machine of [own, other]) await machines.insert(machine, NOTE);
    const snapshot = newSnapshot({ projectId: "team-a", machineId: own.id });
    await snapshots.insert(snapshot);
    await snapshots.complete(
      snapshot.id,
      { sizeBytes: 1, stoppedMs: 1, diskMb: 1 },
      new Date(),
      NOTE,
    );
    for (const [projectId, machine, ofTeam] of [
      ["team-a", own, true],
      [DEFAULT_PROJECT, other, false],
    ] as const) {
      const ids = [machine.id];
      expect((await machines.list(query({ projectId }))).items.map(({ id }) => id)).toEqual(ids);
      expect((await machines.listLiveIn(projectId)).map(({ id }) => id)).toEqual(ids);
      expect((await machines.findIn(projectId, own.id)) !== undefined).toBe(ofTeam);
      expect((await snapshots.findIn(projectId, snapshot.id)) !== undefined).toBe(ofTeam);
      const listed = await snapshots.list(snapshotQuery({ projectId }));
      expect(listed.items).toHaveLength(ofTeam ? 1 : 0);
      const told = await events.listAfter(0, { projectId, machineId: own.id }, 10);
      expect(told.map(({ type }) => type)).toEqual(
        ofTeam ? ["machine state", "snapshot created"] : [],
      );
      expect(new Set(told.map((event) => event.projectId))).toEqual(
        new Set(ofTeam ? ["team-a"] : []),
      );
      expect(await events.listBefore(undefined, { projectId, machineId: "" }, 10)).toHaveLength(
        ofTeam ? 2 : 1,
      );
    }
    expect(await events.listAfter(0, eventQuery(own.id), 10)).toEqual([]);
  });

  test("an idempotency key is taken in its own project only", async () => {
    const machine = newMachine({ projectId: "team-a", idempotencyKey: "k" });
    expect(await machines.insert(machine, NOTE)).toBeDefined();
    expect(await machines.insert(newMachine({ idempotencyKey: "k" }), NOTE)).toBeDefined();
    const third = newMachine({ projectId: "team-a", idempotencyKey: "k" });
    expect(await machines.insert(third, NOTE)).toBeUndefined();
    expect((await machines.findByIdempotencyKey("team-a", "k"))?.id).toBe(machine.id);
    const snapshot = newSnapshot({ projectId: "team-a", idempotencyKey: "k" });
    expect(await snapshots.insert(snapshot)).toBeDefined();
    expect(await snapshots.insert(newSnapshot({ idempotencyKey: "k" }))).toBeDefined();
    expect((await snapshots.findByIdempotencyKey("team-a", "k"))?.id).toBe(snapshot.id);
  });

  test("a quota lets so many in and no more, also when they come at once", async () => {
    const { machines: admission } = new Quotas({ vcpus: 100 });
    const add = async () => machines.insert(newMachine({ projectId: "team-a" }), NOTE, admission);
    const added = await Promise.allSettled(Array.from({ length: 8 }, add));
    expect(added.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
    expect(await projects.usage("team-a")).toMatchObject({ machines: 3, vcpus: 6, memoryMb: 1536 });
    await expect(add()).rejects.toMatchObject({
      details: { limit: "machines", most: "3" },
      retryAfterMs: 30_000,
    });
    expect((await machines.list(query({ projectId: "team-a" }))).items).toHaveLength(3);

    const [{ id } = { id: "" }] = await machines.listLiveIn("team-a");
    await machines.transition(id, TRANSITIONS.kill, new Date(), {}, NOTE);
    // It holds its memory until it is gone.
    await expect(add()).rejects.toThrow("3 machines");
    await machines.transition(id, TRANSITIONS.finish, new Date(), {}, NOTE);
    await add();
    await projects.setLimits("team-a", { machines: 0, memoryMb: 2048 });
    await add();
    await expect(add()).rejects.toThrow("2048 MiB of memory");
    // Others have the server's limits.
    await machines.insert(newMachine({ vcpus: 98 }), NOTE, admission);
    await machines.insert(newMachine({ vcpus: 2 }), NOTE, admission);
    await expect(machines.insert(newMachine(), NOTE, admission)).rejects.toThrow(
      "100 virtual CPUs",
    );
  });

  test("quotas of snapshots: by number, and by bytes once they are reached", async () => {
    const { snapshots: admission } = new Quotas({});
    const add = async (sizeBytes: number) => {
      const snapshot = newSnapshot({ projectId: "team-a" });
      await snapshots.insert(snapshot, admission);
      const capture = { sizeBytes, stoppedMs: 1, diskMb: 1 };
      await snapshots.complete(snapshot.id, capture, new Date(), NOTE);
      return snapshot.id;
    };
    await projects.setLimits("team-a", { snapshots: 2 });
    const first = await add(MIB);
    await add(MIB);
    await expect(add(MIB)).rejects.toThrow("2 snapshots");
    await projects.setLimits("team-a", { snapshotMb: 3 });
    await add(5 * MIB);
    await expect(add(1)).rejects.toThrow("3 MiB of snapshots");
    expect(await projects.usage("team-a")).toMatchObject({
      snapshots: 3,
      snapshotBytes: 7 * MIB,
    });
    await snapshots.remove(first, new Date(), NOTE);
    expect(await projects.usage("team-a")).toMatchObject({ snapshots: 2 });
  });

  test("a quota of SSH connections holds for all machines of a project, also when they come at once", async () => {
    const accesses = new SqlSshAccessStore(database);
    const events = new SqlEventStore(database);
    const { sshConnections: admission } = new Quotas({ sshConnections: 3 });
    const grant = async (id: string, projectId: string) => {
      const machine = newMachine({ projectId });
      await machines.insert(machine, NOTE);
      await accesses.insert({
        id,
        projectId,
        machineId: machine.id,
        fingerprint: "SHA256:x",
        tokenHash: "00",
        createdAt: new Date(1000),
        expiresAt: new Date(9000),
        revokedAt: undefined,
        lastUsedAt: undefined,
        useCount: 0,
      });
    };
    await grant("a1", "team-a");
    await grant("a2", "team-a");
    await grant("a3", DEFAULT_PROJECT);
    let opened = 0;
    const open = async (accessId: string, id = `c${++opened}`) => {
      const connection = { id, hostId: HOST_ID, startedAt: new Date(2000) };
      return await accesses.use(accessId, connection, admission);
    };
    const at = ["a1", "a2", "a1", "a2", "a1"].map(async (id) => open(id));
    const outcomes = await Promise.allSettled(at);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
    await expect(open("a1")).rejects.toMatchObject({
      reason: ErrorReason.QUOTA_EXCEEDED,
      message: "the project may have 3 SSH connections at a time",
      details: { limit: "sshConnections", most: "3" },
      retryAfterMs: 30_000,
    });
    // What was refused has left nothing: no use, no event, no connection.
    const [first, second] = [await accesses.find("a1"), await accesses.find("a2")];
    expect((first?.useCount ?? 0) + (second?.useCount ?? 0)).toBe(3);
    const written = await events.listAfter(0, { projectId: "team-a", machineId: "" }, 50);
    expect(written.filter(({ type }) => type === "ssh connected")).toHaveLength(3);
    expect(await projects.usage("team-a")).toMatchObject({ sshConnections: 3 });
    await open("a3");

    const [ended = ""] = await accesses.listOpen(HOST_ID);
    await accesses.end(ended, { at: new Date(3000), cause: "closed", openMs: 1 });
    await open("a2");
    await projects.setLimits("team-a", { sshConnections: 0 });
    await open("a2");
  });

  test("keys belong to a project that there is", async () => {
    const keys = new SqlKeyStore(database);
    const key = {
      id: "abc",
      projectId: "team-a",
      scopes: [Scope.ADMIN],
      name: "ci",
      hash: "00",
      createdAt: new Date(1000),
      lastUsedAt: undefined,
      revokedAt: undefined,
    };
    expect(await keys.insert({ ...key, projectId: "nobody" })).toBe(false);
    expect(await keys.insert(key)).toBe(true);
    expect(await keys.find("abc")).toEqual({ ...key, projectLimits: { machines: 3 } });
    expect(await keys.revoke("abc", DEFAULT_PROJECT, new Date())).toBeUndefined();
    expect((await keys.list(DEFAULT_PROJECT, 10, "")).items).toEqual([]);
    await keys.setScopes("abc", [Scope.PROJECT, Scope.MACHINES_READ]);
    expect((await keys.list("team-a", 10, "")).items).toMatchObject([
      { id: "abc", scopes: [Scope.PROJECT, Scope.MACHINES_READ] },
    ]);
    expect(await keys.revoke("abc", "team-a", new Date())).toBeDefined();
  });

  test("the audit trail: written, listed by project, key and object, deleted when it is old", async () => {
    const audit = new SqlAuditStore(database);
    const entry = (id: number, fields: Partial<AuditEntry> = {}): AuditEntry => ({
      id: `e${id}`,
      createdAt: new Date(id),
      projectId: "team-a",
      keyId: "abc",
      rpc: "nullspace.v1.MachineService/Create",
      objectId: "m1",
      outcome: "ok",
      requestId: "r1",
      ...fields,
    });
    const entries = [
      entry(1),
      entry(2, { keyId: "def" }),
      entry(3, { objectId: "m2" }),
      entry(4, { projectId: DEFAULT_PROJECT }),
    ];
    await audit.append(entries);
    const all = { projectId: "team-a", keyId: "", objectId: "", limit: 2, cursor: "" };
    const first = await audit.list(all);
    const second = await audit.list({ ...all, cursor: first.nextCursor });
    expect([...first.items, ...second.items]).toEqual(entries.slice(0, 3).toReversed());
    const idsOf = async (fields: object) =>
      (await audit.list({ ...all, ...fields })).items.map(({ id }) => id);
    expect(await idsOf({ keyId: "def" })).toEqual(["e2"]);
    expect(await idsOf({ objectId: "m2" })).toEqual(["e3"]);
    expect(await idsOf({ projectId: DEFAULT_PROJECT })).toEqual(["e4"]);
    expect(await audit.oldestOf(2)).toEqual(new Date(3));
    expect(await audit.oldestOf(5)).toBeUndefined();
    expect(await audit.deleteExpired(new Date(3), 1)).toBe(1);
    expect(await audit.deleteExpired(new Date(3), 10)).toBe(1);
    expect(await idsOf({})).toEqual(["e3"]);
  });

  test("what there was before there were projects belongs to the default one", async () => {
    const former = await backend.createDatabase();
    const old = new Kysely<FormerSchema>({ dialect: dialectFor(former, onIdleError) });
    const before = Object.entries(MIGRATIONS).filter(([name]) => name < "0006");
    const provider = { getMigrations: async () => Object.fromEntries(before) };
    const { error } = await new Migrator({ db: old, provider }).migrateToLatest();
    expect(error).toBeUndefined();
    const key = { id: "abc", name: "ci", hash: "00", created_at: 1000 };
    await old.insertInto("api_keys").values(key).execute();
    const { idempotencyKey, ...machine } = newMachine({ idempotencyKey: "k" });
    await old
      .insertInto("machines")
      .values({
        id: machine.id,
        host_id: machine.hostId,
        state: "running",
        state_since: 1000,
        revision: 1,
        template_name: "base",
        template_tag: "latest",
        snapshot_id: "s1",
        vcpus: 2,
        memory_mb: 512,
        disk_mb: 2048,
        metadata: "{}",
        cwd: "/",
        created_at: 1000,
        on_timeout: "kill",
        failure: "",
        idempotency_key: idempotencyKey ?? null,
        request_hash: "hash",
      })
      .execute();
    await old.destroy();

    const migrated = await openDatabase(former, onIdleError);
    const found = await new SqlMachineStore(migrated).findByIdempotencyKey(DEFAULT_PROJECT, "k");
    expect(found).toMatchObject({ id: machine.id, projectId: DEFAULT_PROJECT });
    expect(await new SqlKeyStore(migrated).find("abc")).toMatchObject({
      projectId: DEFAULT_PROJECT,
      scopes: [Scope.PROJECT],
    });
    expect(await new SqlProjectStore(migrated).usage(DEFAULT_PROJECT)).toMatchObject({
      machines: 1,
    });
    await migrated.destroy();
  });
});

/** Of the tables as they were, what the test writes. */
interface FormerSchema {
  api_keys: { id: string; name: string; hash: string; created_at: number };
  machines: Record<string, string | number | null>;
}
