import { create } from "@bufbuild/protobuf";
import { EgressMode, type EgressPolicy, EgressPolicySchema, ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DEFAULT_PROJECT } from "./project.js";
import { never, TestWorld } from "../testing/world.js";

let world: TestWorld;
beforeEach(async () => {
  world = await TestWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const DENY = create(EgressPolicySchema, { mode: EgressMode.DENY_ALL });
const CUSTOM = create(EgressPolicySchema, {
  mode: EgressMode.CUSTOM,
  allowCidrs: ["203.0.113.0/24"],
});

/** What the host holds a machine to. */
function onHost(id: string): EgressPolicy | undefined {
  return world.fakeHost.machines.get(id)?.request?.egress;
}

test("a machine has what its creator asks for, else the default, which a host need not have", async () => {
  const usual = await world.addRunning();
  expect(onHost(usual.id)?.mode).toBe(EgressMode.ALLOW_ALL);
  expect(world.fakeHost.machines.get(usual.id)?.request?.networkOptional).toBe(true);
  const asked = await world.addRunning({ egress: CUSTOM });
  expect(asked.egress).toEqual(CUSTOM);
  expect(onHost(asked.id)).toEqual(CUSTOM);
  expect(world.fakeHost.machines.get(asked.id)?.request?.networkOptional).toBe(false);
});

test("a change is recorded and applied; forks, snapshots and what is resumed have it", async () => {
  const { machines, snapshots } = world.plane;
  const { id } = await world.addRunning();
  expect((await machines.updateEgress(id, CUSTOM)).egress).toEqual(CUSTOM);
  expect(onHost(id)).toEqual(CUSTOM);

  const projectId = DEFAULT_PROJECT;
  const fork = { projectId, id, count: 1, idempotencyKey: "", metadata: {}, envs: {} };
  const [outcome] = await machines.fork(
    { ...fork, timeoutSeconds: 0, onTimeout: undefined },
    never,
  );
  expect(outcome).toMatchObject({ machine: { egress: CUSTOM } });

  const request = { projectId, machineId: id, name: "", metadata: {}, idempotencyKey: "" };
  const { id: snapshotId } = await snapshots.create(request, never);
  const copy = await world.addChild({ snapshotId });
  expect(copy.egress).toEqual(CUSTOM);

  await machines.pause(id, never);
  // Of a paused machine it holds for the one that goes on from it.
  expect((await machines.updateEgress(id, DENY)).state).toBe("paused");
  const { machine } = await machines.connect(id, undefined, never);
  expect(onHost(machine.id)).toEqual(DENY);
});

test("a change that fails is told, and made good by the reconciler", async () => {
  const { id } = await world.addRunning();
  const fault = new Fault(ErrorReason.EGRESS_NOT_APPLIED, "nftables is not well");
  world.fakeHost.hooks.updateEgress = () => Promise.reject(fault);
  await expect(world.plane.machines.updateEgress(id, CUSTOM)).rejects.toThrow("not well");
  expect((await world.plane.machines.get(id)).egress).toEqual(CUSTOM);
  delete world.fakeHost.hooks.updateEgress;
  await world.restart();
  expect(onHost(id)).toEqual(CUSTOM);
  // Once all is as it should be, the host is left alone.
  const calls = world.fakeHost.calls.filter((name) => name === "updateEgress").length;
  await world.restart();
  expect(world.fakeHost.calls.filter((name) => name === "updateEgress")).toHaveLength(calls);
});

test("changes of a machine that has ended are refused", async () => {
  const { id } = await world.addRunning();
  await world.plane.machines.kill(id, never);
  await expect(world.plane.machines.updateEgress(id, DENY)).rejects.toMatchObject({
    reason: ErrorReason.MACHINE_NOT_RUNNING,
  });
});
