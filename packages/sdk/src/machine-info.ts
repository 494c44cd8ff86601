import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import {
  MachineSchema,
  type Machine as MachineMessage,
  MachineState as MachineStateMessage,
  TimeoutAction as TimeoutActionMessage,
  WarmPoolMode as WarmPoolMessage,
} from "@nullspace/proto";
import { type EgressPolicy, fromEgressMessage } from "./network.js";

/**
 * Where a machine is in its life. `creating`, `pausing`, `resuming` and
 * `killing` end by themselves, if need be in `failed`.
 */
export type MachineState =
  | "creating"
  | "running"
  | "pausing"
  | "paused"
  | "resuming"
  | "killing"
  | "killed"
  | "failed";

/** What happens to a machine at its deadline. */
export type TimeoutAction = "kill" | "pause";

/** Whether a new machine may, must or must not be one that waits in the warm pool. */
export type WarmPoolMode = "prefer" | "require" | "off";

const WARM_POOL_MESSAGES: Record<WarmPoolMode, WarmPoolMessage> = {
  prefer: WarmPoolMessage.PREFER,
  require: WarmPoolMessage.REQUIRE,
  off: WarmPoolMessage.OFF,
};

/** A machine's record. */
export interface MachineInfo {
  id: string;
  state: MachineState;
  /** `name:tag` of the template it was started from. */
  template: string;
  vcpus: number;
  /** MiB. */
  memoryMb: number;
  /** MiB. */
  diskMb: number;
  metadata: Record<string, string>;
  /** Default working directory of commands and relative paths. */
  cwd: string;
  createdAt: Date;
  /** Undefined until the machine first ran. */
  startedAt: Date | undefined;
  /** When `onTimeout` happens; undefined for a machine without a deadline. */
  timeoutAt: Date | undefined;
  onTimeout: TimeoutAction;
  /** Set when the machine is killed or failed. */
  endedAt: Date | undefined;
  /** Why the machine failed; undefined otherwise. */
  failure: string | undefined;
  /** The snapshot it was started from; undefined for a template or a fork. */
  snapshotId: string | undefined;
  /** The machine whose memory it goes on from; undefined for one that was started from a template. */
  parentId: string | undefined;
  /** Of a paused machine: the snapshot that holds its memory and disk. */
  pausedSnapshotId: string | undefined;
  /** Of a paused machine: the machine that goes on from it, while there is one. */
  resumedAs: string | undefined;
  /** Traffic to its previews resumes it when it is paused. */
  autoResume: boolean;
  /** `onTimeout` also happens after so many seconds without calls and streams; 0 for never. */
  idleSeconds: number;
  /** When it is paused it is killed after so many seconds; 0 for never. */
  deletePausedAfterSeconds: number;
  /** When a call, a stream or preview traffic last reached it, as far as the server knows. */
  lastActiveAt: Date | undefined;
  /** It was waiting in the warm pool when it was asked for. */
  fromWarmPool: boolean;
  /** How its previews behave: what `network` said when it was created. */
  previews: { allowPublicTraffic: boolean; maskRequestHost: string | undefined };
  /** What it may reach. */
  egress: EgressPolicy;
}

/** Name of a part of {@link MachineInfo}. */
export type MachineField = keyof MachineInfo;

const STATES: Record<MachineStateMessage, MachineState> = {
  // Only a server newer than this SDK could send a state that is not here.
  [MachineStateMessage.UNSPECIFIED]: "failed",
  [MachineStateMessage.CREATING]: "creating",
  [MachineStateMessage.RUNNING]: "running",
  [MachineStateMessage.PAUSING]: "pausing",
  [MachineStateMessage.PAUSED]: "paused",
  [MachineStateMessage.RESUMING]: "resuming",
  [MachineStateMessage.KILLING]: "killing",
  [MachineStateMessage.KILLED]: "killed",
  [MachineStateMessage.FAILED]: "failed",
};

const STATE_MESSAGES: Record<MachineState, MachineStateMessage> = {
  creating: MachineStateMessage.CREATING,
  running: MachineStateMessage.RUNNING,
  pausing: MachineStateMessage.PAUSING,
  paused: MachineStateMessage.PAUSED,
  resuming: MachineStateMessage.RESUMING,
  killing: MachineStateMessage.KILLING,
  killed: MachineStateMessage.KILLED,
  failed: MachineStateMessage.FAILED,
};

/** A state as the protocol names it. */
export function toStateMessage(state: MachineState): MachineStateMessage {
  return STATE_MESSAGES[state];
}

/** A state as the SDK names it. */
export function fromStateMessage(state: MachineStateMessage): MachineState {
  return STATES[state];
}

/** Whether a new machine may come from those that wait, as the protocol names it. */
export function toWarmPoolMessage(mode: WarmPoolMode | undefined): WarmPoolMessage {
  return mode === undefined ? WarmPoolMessage.UNSPECIFIED : WARM_POOL_MESSAGES[mode];
}

/** A timeout action as the protocol names it. */
export function toTimeoutActionMessage(action: TimeoutAction | undefined): TimeoutActionMessage {
  if (action === undefined) return TimeoutActionMessage.UNSPECIFIED;
  return action === "pause" ? TimeoutActionMessage.PAUSE : TimeoutActionMessage.KILL;
}

/** A machine's record as the SDK gives it. */
export function fromMachineMessage(machine: MachineMessage): MachineInfo {
  return {
    id: machine.id,
    state: STATES[machine.state],
    template: machine.template,
    vcpus: machine.vcpus,
    memoryMb: machine.memoryMb,
    diskMb: machine.diskMb,
    metadata: { ...machine.metadata },
    cwd: machine.cwd,
    createdAt: dateOf(machine.createdAt) ?? new Date(0),
    startedAt: dateOf(machine.startedAt),
    timeoutAt: dateOf(machine.timeoutAt),
    onTimeout: machine.onTimeout === TimeoutActionMessage.PAUSE ? "pause" : "kill",
    endedAt: dateOf(machine.endedAt),
    failure: machine.failure || undefined,
    snapshotId: machine.snapshotId || undefined,
    parentId: machine.parentId || undefined,
    pausedSnapshotId: machine.pausedSnapshotId || undefined,
    resumedAs: machine.resumedAs || undefined,
    autoResume: machine.autoResume,
    idleSeconds: machine.idleSeconds,
    deletePausedAfterSeconds: machine.deletePausedAfterSeconds,
    lastActiveAt: dateOf(machine.lastActiveAt),
    fromWarmPool: machine.fromWarmPool,
    previews: {
      allowPublicTraffic: machine.previews?.allowPublicTraffic ?? true,
      maskRequestHost: machine.previews?.maskRequestHost || undefined,
    },
    egress: fromEgressMessage(machine.egress),
  };
}

/** The named parts of a machine's record, or all of it. */
export function pickFields<F extends MachineField>(
  info: MachineInfo,
  fields: readonly F[] | undefined,
): Pick<MachineInfo, F> {
  if (fields === undefined) return info;
  // Exactly the keys of F are taken from a value that has them all.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return Object.fromEntries(fields.map((field) => [field, info[field]])) as Pick<MachineInfo, F>;
}

/** Fields as a Protobuf field mask names them. */
export function toFieldMask(fields: readonly MachineField[] | undefined) {
  return fields && { paths: fields.map((field) => MachineSchema.field[field].name) };
}

function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp && timestampDate(timestamp);
}
