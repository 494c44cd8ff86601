import { Code, createClient } from "@connectrpc/connect";
import {
  ErrorReason,
  EventService,
  EventType,
  MachineService,
  MachineState,
  SnapshotKind,
  SnapshotService,
} from "@nullspace/proto";
import { FileService } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROTOCOLS, startTestServer, type TestServer, transportTo } from "../testing/server.js";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe.each(PROTOCOLS)("%s", (protocol) => {
  function clients() {
    const transport = transportTo(server.url, protocol, server.apiKey);
    return {
      machines: createClient(MachineService, transport),
      snapshots: createClient(SnapshotService, transport),
      events: createClient(EventService, transport),
    };
  }

  async function addMachine(): Promise<string> {
    const { machine } = await clients().machines.create({ metadata: { a: "1" } });
    if (machine === undefined) throw new Error("no machine was made");
    return machine.id;
  }

  test("pause, connect and resume", async () => {
    const { machines } = clients();
    const id = await addMachine();
    const paused = await machines.pause({ id });
    expect(paused.machine).toMatchObject({
      state: MachineState.PAUSED,
      pausedSnapshotId: paused.snapshot?.id,
    });
    expect(paused.snapshot).toMatchObject({
      kind: SnapshotKind.PAUSE,
      machineId: id,
      sizeBytes: 4096n,
      stoppedMs: 12.5,
      template: "base:latest",
    });
    const connected = await machines.connect({ id, timeoutSeconds: 0 });
    expect(connected.receipt).toMatchObject({ entropyReseeded: true });
    expect(connected.machine).toMatchObject({ parentId: id, state: MachineState.RUNNING });
    expect(connected.machine?.timeoutAt).toBeUndefined();
    expect(connected.machine?.lastActiveAt).toBeDefined();
    const again = await machines.resume({ snapshotId: paused.snapshot?.id ?? "" });
    expect(again.machine?.id).toBe(connected.machine?.id);
    expect(again.receipt).toBeUndefined();
    expect((await machines.get({ id })).machine).toMatchObject({
      resumedAs: connected.machine?.id,
    });
  });

  test("a fork tells of each child, and why one is missing", async () => {
    const { machines } = clients();
    const id = await addMachine();
    let starts = 0;
    server.fakeHost.hooks.startMachine = async () => {
      if (++starts === 2) throw new Fault(ErrorReason.ADOPTION_FAILED, "no entropy");
    };
    const { results } = await machines.fork({ id, count: 2 });
    delete server.fakeHost.hooks.startMachine;
    expect(new Set(results.map(({ result }) => result.case))).toEqual(
      new Set(["child", "failure"]),
    );
    const failure = results.find(({ result }) => result.case === "failure")?.result.value;
    expect(failure).toMatchObject({
      message: "no entropy",
      info: { reason: ErrorReason.ADOPTION_FAILED, retryable: true },
    });
  });

  test("snapshots are made, listed, started from and deleted", async () => {
    const { machines, snapshots } = clients();
    const machineId = await addMachine();
    const { snapshot } = await snapshots.create({ machineId, name: "n", metadata: { b: "2" } });
    const snapshotId = snapshot?.id ?? "";
    expect((await snapshots.get({ id: snapshotId })).snapshot).toEqual(snapshot);
    const listed = await snapshots.list({ machineId, kind: SnapshotKind.REUSABLE });
    expect(listed.snapshots).toEqual([snapshot]);
    const { machine } = await machines.create({ snapshotId });
    expect(machine).toMatchObject({ snapshotId, parentId: machineId });
    await snapshots.delete({ id: snapshotId });
    await expect(snapshots.get({ id: snapshotId })).rejects.toMatchObject({ code: Code.NotFound });
  });

  test("events are listed, and followed from a cursor", async () => {
    const { machines, events } = clients();
    const machineId = await addMachine();
    const { events: known } = await events.list({ machineId, limit: 1 });
    const stop = new AbortController();
    const seen = [];
    const watch = events.watch({ machineId, afterId: known[0]?.id ?? 0n }, { signal: stop.signal });
    await machines.setTimeout({ id: machineId, seconds: 60, idleSeconds: 30 });
    await machines.kill({ id: machineId });
    for await (const { event } of watch) {
      seen.push([event?.type, event?.fromState, event?.toState]);
      if (event?.toState === MachineState.KILLED) break;
    }
    stop.abort();
    expect(seen).toEqual([
      [EventType.MACHINE_TIMEOUT_SET, MachineState.UNSPECIFIED, MachineState.UNSPECIFIED],
      [EventType.MACHINE_STATE, MachineState.RUNNING, MachineState.KILLING],
      [EventType.MACHINE_STATE, MachineState.KILLING, MachineState.KILLED],
    ]);
  });

  test("calls to the agent count as use, those to a paused machine are refused", async () => {
    const { machines } = clients();
    const id = await addMachine();
    const before = (await machines.get({ id })).machine?.lastActiveAt;
    const files = createClient(FileService, transportTo(server.url, protocol, server.apiKey, id));
    await files.stat({ path: "/" }).catch(() => undefined);
    const after = (await machines.get({ id })).machine?.lastActiveAt;
    expect(after).not.toEqual(before);
    await machines.pause({ id });
    await expect(files.stat({ path: "/" })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
  });
});
