import { fromJsonString, toJsonString } from "@bufbuild/protobuf";
import { type EgressPolicy, EgressPolicySchema } from "@nullspace/proto";
import type { Insertable, Selectable, Updateable } from "kysely";
import type {
  Machine,
  MachineState,
  Receipt,
  RestoreKind,
  TimeoutAction,
} from "../domain/machine.js";
import type { MachineChanges, NewMachine, TimeoutChanges } from "../domain/machine-store.js";
import type { MachinesTable } from "./schema.js";

/** Every word that stands for a state in the table. */
const STATES: Readonly<Record<MachineState, true>> = {
  creating: true,
  running: true,
  pausing: true,
  paused: true,
  resuming: true,
  killing: true,
  killed: true,
  failed: true,
};

/** A machine as its row tells it. */
export function fromRow(row: Selectable<MachinesTable>): Machine {
  return {
    id: row.id,
    projectId: row.project_id,
    hostId: row.host_id,
    state: toState(row.state),
    stateSince: toDate(row.state_since),
    revision: row.revision,
    templateName: row.template_name,
    templateTag: row.template_tag,
    snapshotId: row.snapshot_id,
    vcpus: row.vcpus,
    memoryMb: row.memory_mb,
    diskMb: row.disk_mb,
    metadata: toLabels(row.metadata),
    cwd: row.cwd,
    createdAt: toDate(row.created_at),
    startedAt: toOptionalDate(row.started_at),
    timeoutAt: toOptionalDate(row.timeout_at),
    onTimeout: toTimeoutAction(row.on_timeout),
    endedAt: toOptionalDate(row.ended_at),
    failure: row.failure,
    receipt: row.receipt === null ? undefined : toReceipt(row.receipt),
    requestHash: row.request_hash,
    sourceSnapshotId: row.source_snapshot_id,
    parentId: row.parent_id,
    pausedSnapshotId: row.paused_snapshot_id,
    resumedAs: row.resumed_as,
    autoResume: row.auto_resume !== 0,
    previews: {
      allowPublicTraffic: row.allow_public_traffic !== 0,
      maskRequestHost: row.mask_request_host,
      trafficId: row.traffic_id,
    },
    timeoutSeconds: row.timeout_seconds,
    idleSeconds: row.idle_seconds,
    deletePausedAfterSeconds: row.delete_paused_after_seconds,
    deleteAt: toOptionalDate(row.delete_at),
    fromWarmPool: row.from_warm_pool !== 0,
    egress: toEgress(row.egress),
  };
}

/** An idempotency key as its column holds it: unique in its project, whose id has no space. */
export function ownedKey(projectId: string, key: string | undefined): string | null {
  return key === undefined ? null : `${projectId} ${key}`;
}

/** The row of a machine that is about to be made. */
export function newRow(machine: NewMachine): Insertable<MachinesTable> {
  const createdAt = machine.createdAt.getTime();
  return {
    id: machine.id,
    project_id: machine.projectId,
    host_id: machine.hostId,
    state: "creating",
    state_since: createdAt,
    revision: 1,
    template_name: machine.templateName,
    template_tag: machine.templateTag,
    snapshot_id: machine.snapshotId,
    vcpus: machine.vcpus,
    memory_mb: machine.memoryMb,
    disk_mb: machine.diskMb,
    metadata: JSON.stringify(machine.metadata),
    cwd: machine.cwd,
    created_at: createdAt,
    on_timeout: machine.onTimeout,
    failure: "",
    receipt: null,
    idempotency_key: ownedKey(machine.projectId, machine.idempotencyKey),
    request_hash: machine.requestHash,
    source_snapshot_id: machine.sourceSnapshotId,
    parent_id: machine.parentId,
    auto_resume: Number(machine.autoResume),
    allow_public_traffic: Number(machine.previews.allowPublicTraffic),
    mask_request_host: machine.previews.maskRequestHost,
    traffic_id: machine.previews.trafficId,
    timeout_seconds: machine.timeoutSeconds,
    idle_seconds: machine.idleSeconds,
    delete_paused_after_seconds: machine.deletePausedAfterSeconds,
    egress: fromEgress(machine.egress),
  };
}

/** What a transition writes. */
export function changedColumns(changes: MachineChanges): Updateable<MachinesTable> {
  return {
    ...("startedAt" in changes && { started_at: toMilliseconds(changes.startedAt) }),
    ...("timeoutAt" in changes && { timeout_at: toMilliseconds(changes.timeoutAt) }),
    ...("endedAt" in changes && { ended_at: toMilliseconds(changes.endedAt) }),
    ...(changes.failure !== undefined && { failure: changes.failure }),
    ...(changes.receipt !== undefined && { receipt: JSON.stringify(changes.receipt) }),
    ...(changes.releaseKey === true && { idempotency_key: null }),
    ...(changes.fromWarmPool !== undefined && { from_warm_pool: Number(changes.fromWarmPool) }),
    ...(changes.pausedSnapshotId !== undefined && { paused_snapshot_id: changes.pausedSnapshotId }),
    ...(changes.resumedAs !== undefined && { resumed_as: changes.resumedAs }),
    ...("deleteAt" in changes && { delete_at: toMilliseconds(changes.deleteAt) }),
  };
}

/** What new timeouts write. */
export function timeoutColumns(changes: TimeoutChanges): Updateable<MachinesTable> {
  return {
    ...("timeoutAt" in changes && { timeout_at: toMilliseconds(changes.timeoutAt) }),
    ...("deleteAt" in changes && { delete_at: toMilliseconds(changes.deleteAt) }),
    ...(changes.timeoutSeconds !== undefined && { timeout_seconds: changes.timeoutSeconds }),
    ...(changes.onTimeout !== undefined && { on_timeout: changes.onTimeout }),
    ...(changes.autoResume !== undefined && { auto_resume: Number(changes.autoResume) }),
    ...(changes.idleSeconds !== undefined && { idle_seconds: changes.idleSeconds }),
    ...(changes.deletePausedAfterSeconds !== undefined && {
      delete_paused_after_seconds: changes.deletePausedAfterSeconds,
    }),
  };
}

/** A policy as it is kept. */
export function fromEgress(policy: EgressPolicy): string {
  return toJsonString(EgressPolicySchema, policy);
}

export function toEgress(text: string): EgressPolicy {
  return fromJsonString(EgressPolicySchema, text);
}

/** Milliseconds since the epoch, or NULL. */
export function toMilliseconds(date: Date | undefined): number | null {
  return date?.getTime() ?? null;
}

/** The time that a column holds. */
export function toDate(milliseconds: number | string): Date {
  return new Date(Number(milliseconds));
}

/** The time that a column holds, if it holds one. */
export function toOptionalDate(milliseconds: number | string | null): Date | undefined {
  return milliseconds === null ? undefined : toDate(milliseconds);
}

/** The state that a column names. */
export function toState(text: string): MachineState {
  if (isState(text)) return text;
  throw new Error(`the database holds an unknown machine state: ${text}`);
}

function isState(text: string): text is MachineState {
  return Object.hasOwn(STATES, text);
}

function toTimeoutAction(text: string): TimeoutAction {
  if (text === "kill" || text === "pause") return text;
  throw new Error(`the database holds an unknown timeout action: ${text}`);
}

/** The labels that a column holds as JSON. */
export function toLabels(json: string): Record<string, string> {
  return Object.fromEntries(jsonEntries(json).map(([name, value]) => [name, String(value)]));
}

function toReceipt(json: string): Receipt {
  const fields = new Map(jsonEntries(json));
  return {
    // Records of before it was kept do not tell.
    kind: toRestoreKind(fields.get("kind") ?? "snapshot"),
    generation: Number(fields.get("generation")),
    clockSkewMs: Number(fields.get("clockSkewMs")),
    entropyReseeded: fields.get("entropyReseeded") === true,
    identityRenewed: fields.get("identityRenewed") === true,
  };
}

function toRestoreKind(value: unknown): RestoreKind {
  if (value === "template" || value === "snapshot" || value === "pause" || value === "fork") {
    return value;
  }
  throw new Error(`the database holds an unknown kind of restore: ${String(value)}`);
}

/** Names and values of a JSON object. */
export function jsonEntries(json: string): [string, unknown][] {
  const value: unknown = JSON.parse(json);
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}
