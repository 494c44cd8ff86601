import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type AuditEntry as AuditEntryMessage,
  AuditEntrySchema,
  type AuditService,
} from "@nullspace/proto";
import type { Audit, AuditEntry } from "../domain/audit.js";
import { callerOf } from "./caller-context.js";

/** AuditService over the domain. */
export function auditService(audit: Audit): ServiceImpl<typeof AuditService> {
  return {
    async list({ project, keyId, objectId, limit, cursor }, { values }) {
      const query = { projectId: project, keyId, objectId, limit, cursor };
      const { items, nextCursor } = await audit.list(callerOf(values), query);
      return { entries: items.map(toEntryMessage), nextCursor };
    },
  };
}

function toEntryMessage({ createdAt, projectId, ...entry }: AuditEntry): AuditEntryMessage {
  return create(AuditEntrySchema, {
    ...entry,
    project: projectId,
    createdAt: timestampFromDate(createdAt),
  });
}
