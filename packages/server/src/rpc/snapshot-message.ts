import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type Snapshot as SnapshotMessage,
  SnapshotKind as Kind,
  SnapshotSchema,
} from "@nullspace/proto";
import type { Snapshot, SnapshotKind } from "../domain/snapshot.js";

/** The message that tells of a snapshot. */
export function toSnapshotMessage(snapshot: Snapshot): SnapshotMessage {
  const { id, machineId, parentId, name, vcpus, memoryMb, diskMb, stoppedMs } = snapshot;
  return create(SnapshotSchema, {
    id,
    machineId,
    parentId,
    name,
    vcpus,
    memoryMb,
    diskMb,
    stoppedMs,
    kind: snapshot.kind === "pause" ? Kind.PAUSE : Kind.REUSABLE,
    metadata: { ...snapshot.metadata },
    template: `${snapshot.templateName}:${snapshot.templateTag}`,
    sizeBytes: BigInt(snapshot.sizeBytes),
    createdAt: timestampFromDate(snapshot.createdAt),
  });
}

/** The kind that a number on the wire means; `undefined` for every kind. */
export function fromKindNumber(kind: Kind): SnapshotKind | undefined {
  if (kind === Kind.REUSABLE) return "reusable";
  return kind === Kind.PAUSE ? "pause" : undefined;
}
