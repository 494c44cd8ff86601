import type { Kysely } from "kysely";
import type { Migration } from "kysely/migration";

/**
 * Every change of the schema, in the subset of SQL that SQLite and PostgreSQL
 * share. A migration that has been released is never edited: add another one.
 */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  "0001-machines-and-keys": {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable("machines")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("host_id", "text", (column) => column.notNull())
        .addColumn("state", "text", (column) => column.notNull())
        .addColumn("state_since", "bigint", (column) => column.notNull())
        .addColumn("revision", "integer", (column) => column.notNull())
        .addColumn("template_name", "text", (column) => column.notNull())
        .addColumn("template_tag", "text", (column) => column.notNull())
        .addColumn("snapshot_id", "text", (column) => column.notNull())
        .addColumn("vcpus", "integer", (column) => column.notNull())
        .addColumn("memory_mb", "integer", (column) => column.notNull())
        .addColumn("disk_mb", "integer", (column) => column.notNull())
        .addColumn("metadata", "text", (column) => column.notNull())
        .addColumn("cwd", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("started_at", "bigint")
        .addColumn("timeout_at", "bigint")
        .addColumn("on_timeout", "text", (column) => column.notNull())
        .addColumn("ended_at", "bigint")
        .addColumn("failure", "text", (column) => column.notNull())
        .addColumn("receipt", "text")
        .addColumn("idempotency_key", "text", (column) => column.unique())
        .addColumn("request_hash", "text", (column) => column.notNull())
        .execute();
      await createIndex(db, "machines", ["created_at", "id"]);
      await createIndex(db, "machines", ["state", "host_id", "timeout_at"]);
      await createIndex(db, "machines", ["ended_at"]);

      await db.schema
        .createTable("machine_labels")
        .addColumn("machine_id", "text", (column) =>
          column.notNull().references("machines.id").onDelete("cascade"),
        )
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("value", "text", (column) => column.notNull())
        .addPrimaryKeyConstraint("machine_labels_pk", ["machine_id", "name"])
        .execute();
      await createIndex(db, "machine_labels", ["name", "value", "machine_id"]);

      await db.schema
        .createTable("api_keys")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("hash", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("last_used_at", "bigint")
        .addColumn("revoked_at", "bigint")
        .execute();
      await createIndex(db, "api_keys", ["created_at", "id"]);
    },
  },
};

async function createIndex(db: Kysely<unknown>, table: string, columns: string[]): Promise<void> {
  const name = `${table}_by_${columns.join("_")}`;
  await db.schema.createIndex(name).on(table).columns(columns).execute();
}
