import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { EgressMode, EgressPolicySchema } from "@nullspace/proto";
import {
  newMachineId,
  type NewMachine,
  openDatabase,
  SqlMachineStore,
  TRANSITIONS,
} from "@nullspace/server/internal";

/** Why it all happens, as a server notes it. */
const NOTE = { cause: "request" };

/** Where a server keeps its records, in its home. */
const DATABASE = "nullspace.db";

/**
 * Adds records of machines that were created and killed, step by step as the server does, into the
 * database of a server that runs.
 */
export async function insertEndedMachines(
  home: string,
  snapshotId: string,
  count: number,
): Promise<void> {
  const database = await openDatabase(join(home, DATABASE), () => undefined);
  try {
    const store = new SqlMachineStore(database);
    for (let made = 0; made < count; made++) {
      const machine = newMachine(snapshotId);
      await store.insert(machine, NOTE);
      const now = new Date();
      const receipt = {
        kind: "template" as const,
        generation: 1,
        clockSkewMs: 0,
        entropyReseeded: true,
        identityRenewed: true,
      };
      await store.transition(machine.id, TRANSITIONS.start, now, { startedAt: now, receipt }, NOTE);
      await store.transition(machine.id, TRANSITIONS.kill, now, {}, NOTE);
      await store.transition(machine.id, TRANSITIONS.finish, now, { endedAt: now }, NOTE);
    }
  } finally {
    await database.destroy();
  }
}

function newMachine(snapshotId: string): NewMachine {
  return {
    id: newMachineId(),
    projectId: "default",
    hostId: "bench",
    templateName: "base",
    templateTag: "latest",
    snapshotId,
    sourceSnapshotId: "",
    parentId: "",
    vcpus: 1,
    memoryMb: 512,
    diskMb: 2048,
    metadata: {},
    cwd: "/workspace",
    createdAt: new Date(),
    onTimeout: "kill",
    timeoutSeconds: 300,
    autoResume: false,
    previews: { allowPublicTraffic: true, maskRequestHost: "", trafficId: "" },
    egress: create(EgressPolicySchema, { mode: EgressMode.ALLOW_ALL }),
    idleSeconds: 0,
    deletePausedAfterSeconds: 0,
    idempotencyKey: undefined,
    requestHash: "",
  };
}
