import type { Insertable, Selectable } from "kysely";
import type { AuditEntry, AuditQuery, AuditStore } from "../domain/audit.js";
import type { Page } from "../domain/machine-store.js";
import type { Database } from "./database.js";
import { toDate } from "./machine-row.js";
import { newestFirst, toPage } from "./pages.js";
import type { AuditTable } from "./schema.js";

/** The audit trail in a SQL database. */
export class SqlAuditStore implements AuditStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async append(entries: readonly AuditEntry[]): Promise<void> {
    await this.#database.insertInto("audit").values(entries.map(toRow)).execute();
  }

  async list({ projectId, keyId, objectId, limit, cursor }: AuditQuery): Promise<Page<AuditEntry>> {
    let select = this.#database
      .selectFrom("audit")
      .selectAll()
      .where("project_id", "=", projectId)
      .$call(newestFirst(limit, cursor));
    if (keyId !== "") select = select.where("key_id", "=", keyId);
    if (objectId !== "") select = select.where("object_id", "=", objectId);
    return toPage((await select.execute()).map(fromRow), limit);
  }

  async deleteExpired(before: Date, limit: number): Promise<number> {
    const { numDeletedRows } = await this.#database
      .deleteFrom("audit")
      .where("id", "in", (eb) =>
        eb
          .selectFrom("audit")
          .select("id")
          .where("created_at", "<", before.getTime())
          .orderBy("created_at")
          .limit(limit),
      )
      .executeTakeFirstOrThrow();
    return Number(numDeletedRows);
  }

  async oldestOf(count: number): Promise<Date | undefined> {
    const row = await this.#database
      .selectFrom("audit")
      .select("created_at")
      .orderBy("created_at", "desc")
      .limit(1)
      .offset(count - 1)
      .executeTakeFirst();
    return row && toDate(row.created_at);
  }
}

function toRow(entry: AuditEntry): Insertable<AuditTable> {
  return {
    id: entry.id,
    created_at: entry.createdAt.getTime(),
    project_id: entry.projectId,
    key_id: entry.keyId,
    rpc: entry.rpc,
    object_id: entry.objectId,
    outcome: entry.outcome,
    request_id: entry.requestId,
  };
}

function fromRow(row: Selectable<AuditTable>): AuditEntry {
  return {
    id: row.id,
    createdAt: toDate(row.created_at),
    projectId: row.project_id,
    keyId: row.key_id,
    rpc: row.rpc,
    objectId: row.object_id,
    outcome: row.outcome,
    requestId: row.request_id,
  };
}
