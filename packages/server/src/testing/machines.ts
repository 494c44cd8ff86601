import type { EventQuery } from "../domain/event.js";
import { defaultEgress } from "../domain/egress-policy.js";
import { ENDED_STATES, LIVE_STATES } from "../domain/machine.js";
import { newMachineId, newSnapshotId } from "../domain/random.js";
import type { MachineQuery, NewMachine } from "../domain/machine-store.js";
import { DEFAULT_PROJECT } from "../domain/project.js";
import type { NewSnapshot, SnapshotQuery } from "../domain/snapshot.js";

/** The host of machines in tests. */
export const HOST_ID = "h1";

/** A machine to be made, with what a test cares about. */
export function newMachine(fields: Partial<NewMachine> = {}): NewMachine {
  return {
    id: newMachineId(),
    projectId: DEFAULT_PROJECT,
    hostId: HOST_ID,
    templateName: "base",
    templateTag: "latest",
    snapshotId: "s1",
    sourceSnapshotId: "",
    parentId: "",
    timeoutSeconds: 300,
    autoResume: false,
    previews: { allowPublicTraffic: true, maskRequestHost: "", trafficId: "" },
    idleSeconds: 0,
    deletePausedAfterSeconds: 0,
    egress: defaultEgress(),
    vcpus: 2,
    memoryMb: 512,
    diskMb: 2048,
    metadata: {},
    cwd: "/workspace",
    createdAt: new Date(1_800_000_000_000),
    onTimeout: "kill",
    idempotencyKey: undefined,
    requestHash: "hash",
    ...fields,
  };
}

/** A listing of everything, with what a test cares about. */
export function query(fields: Partial<MachineQuery> = {}): MachineQuery {
  return {
    projectId: DEFAULT_PROJECT,
    states: [...LIVE_STATES, ...ENDED_STATES],
    templateName: undefined,
    templateTag: undefined,
    metadata: {},
    limit: 50,
    cursor: "",
    ...fields,
  };
}

/** A snapshot to be captured, with what a test cares about. */
export function newSnapshot(fields: Partial<NewSnapshot> = {}): NewSnapshot {
  return {
    id: newSnapshotId(),
    projectId: DEFAULT_PROJECT,
    hostId: HOST_ID,
    kind: "reusable",
    machineId: "m1",
    parentId: "",
    name: "",
    metadata: {},
    templateName: "base",
    templateTag: "latest",
    vcpus: 2,
    memoryMb: 512,
    diskMb: 2048,
    cwd: "/workspace",
    egress: defaultEgress(),
    createdAt: new Date(1_800_000_000_000),
    idempotencyKey: undefined,
    requestHash: "hash",
    ...fields,
  };
}

/** A listing of all snapshots, with what a test cares about. */
export function snapshotQuery(fields: Partial<SnapshotQuery> = {}): SnapshotQuery {
  return {
    projectId: DEFAULT_PROJECT,
    machineId: "",
    kind: undefined,
    metadata: {},
    limit: 50,
    cursor: "",
    ...fields,
  };
}

/** A listing of events. */
export function eventQuery(machineId: string): EventQuery {
  return { projectId: DEFAULT_PROJECT, machineId };
}
