import { newMachineId } from "../domain/random.js";
import type { MachineQuery, NewMachine } from "../domain/machine-store.js";

/** The host of machines in tests. */
export const HOST_ID = "h1";

/** A machine to be made, with what a test cares about. */
export function newMachine(fields: Partial<NewMachine> = {}): NewMachine {
  return {
    id: newMachineId(),
    hostId: HOST_ID,
    templateName: "base",
    templateTag: "latest",
    snapshotId: "s1",
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
    states: ["creating", "running", "killing", "killed", "failed"],
    templateName: undefined,
    templateTag: undefined,
    metadata: {},
    limit: 50,
    cursor: "",
    ...fields,
  };
}
