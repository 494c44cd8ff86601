import { ErrorReason, MachineState, SnapshotKind, WarmPoolMode } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { ConflictError, NotFoundError, SnapshotIncompatibleError } from "./errors.js";
import type { LifecycleEvent } from "./events.js";
import { Machine } from "./machine.js";
import { Nullspace } from "./nullspace.js";
import { Snapshot } from "./snapshots.js";
import { FakeServer } from "./testing/fake-server.js";

let server: FakeServer;
let client: Nullspace;
beforeAll(async () => {
  server = await FakeServer.start();
});
afterAll(async () => server[Symbol.asyncDispose]());
beforeEach(() => {
  vi.stubEnv("NULLSPACE_API_URL", server.url);
  vi.stubEnv("NULLSPACE_API_KEY", server.apiKey);
  server.onCall = undefined;
  server.onAnswer = undefined;
  server.calls.length = 0;
  client = new Nullspace({ url: server.url, apiKey: server.apiKey });
  return () => client.close();
});

const RECEIPT = {
  kind: "pause",
  generation: 2,
  clockSkewMs: -3,
  entropyReseeded: true,
  identityRenewed: true,
};

describe("pause and resume", () => {
  test("a paused machine goes on under a new id, with a receipt", async () => {
    const machine = await Machine.create({ metadata: { a: "1" } });
    const snapshot = await machine.pause();
    expect(snapshot).toMatchObject({
      kind: "pause",
      machineId: machine.id,
      parentId: undefined,
      name: undefined,
      sizeBytes: 17_000_000,
      stoppedMs: 12.5,
    });
    expect(await machine.hibernate()).toEqual(snapshot);
    expect(await machine.getInfo()).toMatchObject({
      state: "paused",
      pausedSnapshotId: snapshot.id,
      resumedAs: undefined,
    });
    const resumed = await Machine.resume(snapshot.id, { timeoutSeconds: 60 });
    expect(resumed.id).not.toBe(machine.id);
    expect(resumed.receipt).toEqual(RECEIPT);
    expect(await resumed.getInfo()).toMatchObject({ parentId: machine.id, state: "running" });

    const found = await Machine.connect(machine.id);
    expect([found.id, found.receipt]).toEqual([resumed.id, undefined]);
    expect((await found.commands.run("echo here")).stdout).toBe("here\n");
  });

  test("the end of its scope does not kill a machine that was paused there", async () => {
    let id: string;
    {
      await using machine = await Machine.create();
      ({ id } = machine);
      await machine.pause();
    }
    expect(await Machine.getInfo(id, { fields: ["state"] })).toEqual({ state: "paused" });
  });

  test("connect resumes a paused machine", async () => {
    const machine = await client.machines.create();
    await client.machines.pause(machine.id);
    const resumed = await client.machines.connect(machine.id);
    expect(resumed.receipt).toEqual(RECEIPT);
    expect(resumed.id).not.toBe(machine.id);
  });

  test("a snapshot that this host cannot restore is an error of its own", async () => {
    server.onCall = (method) => {
      if (method === "Resume") {
        throw new Fault(ErrorReason.SNAPSHOT_INCOMPATIBLE, "made by another QEMU");
      }
    };
    await expect(Machine.resume("s1")).rejects.toThrow(SnapshotIncompatibleError);
  });

  test("one that is used up, and one that is not there", async () => {
    await expect(Machine.resume("s-none")).rejects.toThrow(NotFoundError);
    server.onCall = () => {
      throw new Fault(ErrorReason.SNAPSHOT_CONSUMED, "it has ended");
    };
    const failure = await Machine.resume("s1").catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConflictError);
    expect(failure).toMatchObject({ reason: "SNAPSHOT_CONSUMED" });
  });
});

describe("snapshots", () => {
  test("are made, listed by lineage, started from and deleted", async () => {
    await using machine = await Machine.create();
    const options = { name: "ready", metadata: { team: "red" } };
    const snapshot = await machine.createSnapshot(options);
    expect(snapshot).toMatchObject({ ...options, kind: "reusable", machineId: machine.id });
    await using child = await Machine.create({ snapshotId: snapshot.id, warmPool: "require" });
    expect(await child.getInfo()).toMatchObject({
      snapshotId: snapshot.id,
      parentId: machine.id,
      fromWarmPool: true,
    });
    expect(server.machines.created.at(-1)).toMatchObject({
      template: "",
      warmPool: WarmPoolMode.REQUIRE,
    });
    const grandchild = await child.createSnapshot();
    expect(grandchild.parentId).toBe(snapshot.id);

    expect(await Snapshot.get(snapshot.id)).toEqual(snapshot);
    const found = await Snapshot.list({ machineId: machine.id, kind: "reusable" });
    expect(found.items).toEqual([snapshot]);
    const ids: string[] = [];
    for await (const { id } of Snapshot.list({ limit: 1 })) ids.push(id);
    expect(ids).toEqual(expect.arrayContaining([snapshot.id, grandchild.id]));
    await Snapshot.delete(snapshot.id);
    await client.snapshots.delete(snapshot.id);
    await expect(client.snapshots.get(snapshot.id)).rejects.toMatchObject({
      reason: "SNAPSHOT_NOT_FOUND",
    });
  });

  test("one whose answer is lost is asked for again with the same key", async () => {
    await using machine = await Machine.create();
    let cut = true;
    server.onAnswer = () => {
      if (cut) server.dropConnections();
      cut = false;
    };
    await machine.createSnapshot();
    const made = server.machines.snapshots.all.filter(({ machineId }) => machineId === machine.id);
    expect(made).toHaveLength(1);
  });
});

describe("fork", () => {
  test("without a count gives the child itself", async () => {
    await using machine = await Machine.create();
    await using child = await machine.fork();
    expect(child.receipt).toEqual(RECEIPT);
    expect(await child.getInfo({ fields: ["parentId"] })).toEqual({ parentId: machine.id });
    await using one = await machine.fork({ count: 1 });
    expect(one.id).not.toBe(child.id);
  });

  test("with a count gives a result for each: one that failed does not hide the others", async () => {
    await using machine = await Machine.create();
    server.machines.childFailure = new Fault(ErrorReason.CAPACITY_EXCEEDED, "no room", {
      remedy: "Kill some.",
    });
    const results = await machine.fork({ count: 3 });
    expect(results.map(({ machine: child }) => child !== undefined)).toEqual([false, true, true]);
    expect(results[0]?.error).toMatchObject({
      name: "ResourceExhaustedError",
      reason: "CAPACITY_EXCEEDED",
      retryable: true,
      remedy: "Kill some.",
    });
  });

  test("of one child throws why there is none", async () => {
    await using machine = await Machine.create();
    server.machines.childFailure = new Fault(ErrorReason.SNAPSHOT_INCOMPATIBLE, "another CPU");
    await expect(machine.fork()).rejects.toThrow(SnapshotIncompatibleError);
    server.machines.childFailure = new Fault(ErrorReason.CAPACITY_EXCEEDED, "no room");
    const [only] = await client.machines.fork(machine.id);
    expect(only?.error).toMatchObject({ reason: "CAPACITY_EXCEEDED" });
  });
});

describe("timeouts", () => {
  test("of a new machine, and later", async () => {
    await using machine = await Machine.create({
      onTimeout: "pause",
      autoResume: true,
      idleSeconds: 60,
      deletePausedAfterSeconds: 3600,
    });
    const timeouts = { idleSeconds: 60, deletePausedAfterSeconds: 3600 };
    expect(await machine.getInfo()).toMatchObject({ ...timeouts, autoResume: true });
    expect(await machine.setTimeout({ seconds: 5 })).toMatchObject(timeouts);
    const changed = await machine.setTimeout({
      seconds: 5,
      idleSeconds: 0,
      deletePausedAfterSeconds: 7,
    });
    expect(changed).toMatchObject({ idleSeconds: 0, deletePausedAfterSeconds: 7 });
  });
});

describe("events", () => {
  test("are listed in pages, newest first", async () => {
    const machine = await Machine.create();
    await machine.pause();
    const { items, nextCursor } = await client.events.list({ machineId: machine.id, limit: 2 });
    expect(items).toMatchObject([
      { type: "machine.state", fromState: "running", toState: "paused", cause: "request" },
      { type: "snapshot.created", toState: undefined },
    ]);
    expect(nextCursor).toBeDefined();
    const all: LifecycleEvent[] = [];
    for await (const event of client.events.list({ machineId: machine.id, limit: 1 })) {
      all.push(event);
    }
    expect(all.map(({ id }) => id)).toEqual(all.map(({ id }) => id).toSorted((a, b) => b - a));
    expect(all).toHaveLength(3);
  });

  test("are followed over lost connections, none missed or told twice", async () => {
    const first = server.machines.add();
    const afterId = server.machines.events.all.length;
    server.machines.add();
    const seen: number[] = [];
    for await (const event of client.events.watch({ afterId })) {
      seen.push(event.id);
      if (seen.length === 30) break;
      if (seen.length % 7 === 0) server.dropConnections();
      server.machines.add({ state: MachineState.FAILED, failure: `after ${first.id}` });
    }
    expect(seen).toEqual(Array.from({ length: 30 }, (_, index) => afterId + 1 + index));
  });

  test("from now on, by the id of the newest", async () => {
    const machine = server.machines.add();
    const other = server.machines.add();
    const watch = client.events.watch({ machineId: machine.id });
    const next = watch.next();
    await vi.waitFor(() => expect(server.calls.at(-1)).toBe("Watch"));
    server.machines.snapshots.add(other, SnapshotKind.REUSABLE);
    server.machines.change(machine, { state: MachineState.KILLED });
    expect((await next).value).toMatchObject({ machineId: machine.id, toState: "killed" });
    await watch.return();
  });

  test("a signal ends the loop with its error", async () => {
    const stop = new AbortController();
    const next = client.events.watch({ signal: stop.signal }).next();
    await vi.waitFor(() => expect(server.calls.at(-1)).toBe("Watch"));
    stop.abort();
    await expect(next).rejects.toMatchObject({ name: "CancelledError" });
  });
});
