import type { ServiceImpl } from "@connectrpc/connect";
import type { SnapshotService } from "@nullspace/proto";
import { pageSize } from "../domain/limits.js";
import type { Snapshots } from "../domain/snapshots.js";
import { fromKindNumber, toSnapshotMessage } from "./snapshot-message.js";

/** SnapshotService over the domain. */
export function snapshotService(snapshots: Snapshots): ServiceImpl<typeof SnapshotService> {
  return {
    async create({ machineId, name, metadata, idempotencyKey }, { signal }) {
      const request = { machineId, name, metadata, idempotencyKey };
      return { snapshot: toSnapshotMessage(await snapshots.create(request, signal)) };
    },

    async get({ id }) {
      return { snapshot: toSnapshotMessage(await snapshots.get(id)) };
    },

    async list({ machineId, kind, metadata, limit, cursor }) {
      const { items, nextCursor } = await snapshots.list({
        machineId,
        kind: fromKindNumber(kind),
        metadata,
        limit: pageSize(limit),
        cursor,
      });
      return { snapshots: items.map(toSnapshotMessage), nextCursor };
    },

    async delete({ id }, { signal }) {
      await snapshots.delete(id, signal);
      return {};
    },
  };
}
