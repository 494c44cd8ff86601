import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type AdoptionReceipt,
  AdoptionReceiptSchema,
  type Machine as MachineMessage,
  MachineSchema,
  MachineState as State,
  TimeoutAction as Action,
  RestoreKind as Kind,
} from "@nullspace/proto";
import type {
  Machine,
  MachineState,
  Receipt,
  RestoreKind,
  TimeoutAction,
} from "../domain/machine.js";

const KINDS: Readonly<Record<RestoreKind, Kind>> = {
  template: Kind.TEMPLATE,
  snapshot: Kind.SNAPSHOT,
  pause: Kind.PAUSE,
  fork: Kind.FORK,
};

const STATES: Readonly<Record<MachineState, State>> = {
  creating: State.CREATING,
  running: State.RUNNING,
  pausing: State.PAUSING,
  paused: State.PAUSED,
  resuming: State.RESUMING,
  killing: State.KILLING,
  killed: State.KILLED,
  failed: State.FAILED,
};

const STATE_BY_NUMBER: ReadonlyMap<State, MachineState> = new Map(
  (
    ["creating", "running", "pausing", "paused", "resuming", "killing", "killed", "failed"] as const
  ).map((state) => [STATES[state], state]),
);

/**
 * The message that tells of a machine.
 *
 * @param lastActiveAt When it was last used, where that is known.
 */
export function toMachineMessage(machine: Machine, lastActiveAt?: Date): MachineMessage {
  const { startedAt, timeoutAt, endedAt } = machine;
  return create(MachineSchema, {
    id: machine.id,
    state: STATES[machine.state],
    template: `${machine.templateName}:${machine.templateTag}`,
    vcpus: machine.vcpus,
    memoryMb: machine.memoryMb,
    diskMb: machine.diskMb,
    metadata: { ...machine.metadata },
    cwd: machine.cwd,
    createdAt: timestampFromDate(machine.createdAt),
    ...(startedAt && { startedAt: timestampFromDate(startedAt) }),
    ...(timeoutAt && { timeoutAt: timestampFromDate(timeoutAt) }),
    onTimeout: machine.onTimeout === "kill" ? Action.KILL : Action.PAUSE,
    ...(endedAt && { endedAt: timestampFromDate(endedAt) }),
    failure: machine.failure,
    snapshotId: machine.sourceSnapshotId,
    parentId: machine.parentId,
    // While it pauses there is no such snapshot yet.
    pausedSnapshotId: machine.state === "pausing" ? "" : machine.pausedSnapshotId,
    resumedAs: machine.state === "paused" ? machine.resumedAs : "",
    autoResume: machine.autoResume,
    previews: {
      allowPublicTraffic: machine.previews.allowPublicTraffic,
      maskRequestHost: machine.previews.maskRequestHost,
    },
    idleSeconds: machine.idleSeconds,
    deletePausedAfterSeconds: machine.deletePausedAfterSeconds,
    ...(lastActiveAt && { lastActiveAt: timestampFromDate(lastActiveAt) }),
    fromWarmPool: machine.fromWarmPool,
    egress: machine.egress,
  });
}

/** The message that tells what a guest confirmed. */
export function toReceiptMessage(receipt: Receipt): AdoptionReceipt {
  return create(AdoptionReceiptSchema, {
    kind: KINDS[receipt.kind],
    generation: BigInt(receipt.generation),
    clockSkewMs: BigInt(Math.round(receipt.clockSkewMs)),
    entropyReseeded: receipt.entropyReseeded,
    identityRenewed: receipt.identityRenewed,
  });
}

/** The number that stands for a state on the wire. */
export function toStateNumber(state: MachineState): State {
  return STATES[state];
}

/** The state that a number on the wire means; `undefined` for one that we do not know. */
export function fromStateNumber(state: State): MachineState | undefined {
  return STATE_BY_NUMBER.get(state);
}

/** The action that a number on the wire means; `undefined` when it leaves the choice to us. */
export function fromActionNumber(action: Action): TimeoutAction | undefined {
  if (action === Action.KILL) return "kill";
  return action === Action.PAUSE ? "pause" : undefined;
}
