import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { SnapshotService } from "@nullspace/proto";
import type { Caller } from "../domain/caller.js";
import { pageSize } from "../domain/limits.js";
import type { ProjectSnapshots } from "../domain/project-snapshots.js";
import { callerOf } from "./caller-context.js";
import { fromKindNumber, toSnapshotMessage } from "./snapshot-message.js";

/** SnapshotService over the domain. */
export function snapshotService(
  snapshotsOf: (caller: Caller) => ProjectSnapshots,
): ServiceImpl<typeof SnapshotService> {
  const of = ({ values }: HandlerContext) => snapshotsOf(callerOf(values));
  return {
    async create({ machineId, name, metadata, idempotencyKey }, context) {
      const request = { machineId, name, metadata, idempotencyKey };
      const snapshot = await of(context).create(request, context.signal);
      return { snapshot: toSnapshotMessage(snapshot) };
    },

    async get({ id }, context) {
      return { snapshot: toSnapshotMessage(await of(context).get(id)) };
    },

    async list({ machineId, kind, metadata, limit, cursor }, context) {
      const { items, nextCursor } = await of(context).list({
        machineId,
        kind: fromKindNumber(kind),
        metadata,
        limit: pageSize(limit),
        cursor,
      });
      return { snapshots: items.map(toSnapshotMessage), nextCursor };
    },

    async delete({ id }, context) {
      await of(context).delete(id, context.signal);
      return {};
    },
  };
}
