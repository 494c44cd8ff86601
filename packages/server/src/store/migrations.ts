import { type Kysely, sql } from "kysely";
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
  "0002-snapshots-and-events": {
    async up(db: Kysely<unknown>) {
      const texts = [
        "prior_state",
        "source_snapshot_id",
        "parent_id",
        "paused_snapshot_id",
        "resumed_as",
      ];
      for (const name of texts) {
        await db.schema
          .alterTable("machines")
          .addColumn(name, "text", (column) => column.notNull().defaultTo(""))
          .execute();
      }
      const numbers = {
        auto_resume: 0,
        timeout_seconds: 300,
        idle_seconds: 0,
        delete_paused_after_seconds: 0,
        from_warm_pool: 0,
      };
      for (const [name, usual] of Object.entries(numbers)) {
        await db.schema
          .alterTable("machines")
          .addColumn(name, "integer", (column) => column.notNull().defaultTo(usual))
          .execute();
      }
      await db.schema.alterTable("machines").addColumn("delete_at", "bigint").execute();
      await createIndex(db, "machines", ["state", "host_id", "delete_at"]);
      await createIndex(db, "machines", ["paused_snapshot_id"]);

      await db.schema
        .createTable("snapshots")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("host_id", "text", (column) => column.notNull())
        .addColumn("kind", "text", (column) => column.notNull())
        .addColumn("state", "text", (column) => column.notNull())
        .addColumn("machine_id", "text", (column) => column.notNull())
        .addColumn("parent_id", "text", (column) => column.notNull())
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("metadata", "text", (column) => column.notNull())
        .addColumn("template_name", "text", (column) => column.notNull())
        .addColumn("template_tag", "text", (column) => column.notNull())
        .addColumn("vcpus", "integer", (column) => column.notNull())
        .addColumn("memory_mb", "integer", (column) => column.notNull())
        .addColumn("disk_mb", "integer", (column) => column.notNull())
        .addColumn("cwd", "text", (column) => column.notNull())
        .addColumn("size_bytes", "bigint", (column) => column.notNull())
        .addColumn("stopped_ms", "double precision", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("idempotency_key", "text", (column) => column.unique())
        .addColumn("request_hash", "text", (column) => column.notNull())
        .execute();
      await createIndex(db, "snapshots", ["created_at", "id"]);
      await createIndex(db, "snapshots", ["machine_id"]);
      await createIndex(db, "snapshots", ["host_id"]);

      await db.schema
        .createTable("snapshot_labels")
        .addColumn("snapshot_id", "text", (column) =>
          column.notNull().references("snapshots.id").onDelete("cascade"),
        )
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("value", "text", (column) => column.notNull())
        .addPrimaryKeyConstraint("snapshot_labels_pk", ["snapshot_id", "name"])
        .execute();
      await createIndex(db, "snapshot_labels", ["name", "value", "snapshot_id"]);

      await db.schema
        .createTable("events")
        .addColumn("id", "bigint", (column) => column.primaryKey())
        .addColumn("type", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("machine_id", "text", (column) => column.notNull())
        .addColumn("snapshot_id", "text", (column) => column.notNull())
        .addColumn("source_machine_id", "text", (column) => column.notNull())
        .addColumn("from_state", "text")
        .addColumn("to_state", "text")
        .addColumn("cause", "text", (column) => column.notNull())
        .addColumn("timings", "text", (column) => column.notNull())
        .addColumn("failure", "text", (column) => column.notNull())
        .execute();
      await createIndex(db, "events", ["machine_id", "id"]);
      await createIndex(db, "events", ["created_at"]);

      // Not a sequence: one hands out numbers in another order than that of the commits, and
      // who reads "all after 7" would miss a 6 that comes late. This row is locked until then.
      await db.schema
        .createTable("event_counter")
        .addColumn("id", "integer", (column) => column.primaryKey())
        .addColumn("last", "bigint", (column) => column.notNull())
        .execute();
      await sql`insert into event_counter (id, last) values (1, 0)`.execute(db);
    },
  },
  "0003-previews": {
    async up(db: Kysely<unknown>) {
      await db.schema
        .alterTable("machines")
        .addColumn("allow_public_traffic", "integer", (column) => column.notNull().defaultTo(1))
        .execute();
      for (const name of ["mask_request_host", "traffic_id"]) {
        await db.schema
          .alterTable("machines")
          .addColumn(name, "text", (column) => column.notNull().defaultTo(""))
          .execute();
      }
      await db.schema
        .createTable("preview_grants")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("machine_id", "text", (column) => column.notNull())
        .addColumn("port", "integer", (column) => column.notNull())
        .addColumn("kind", "text", (column) => column.notNull())
        .addColumn("transports", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("expires_at", "bigint", (column) => column.notNull())
        .addColumn("revoked_at", "bigint")
        .addColumn("http_requests", "bigint", (column) => column.notNull())
        .addColumn("websockets", "bigint", (column) => column.notNull())
        .addColumn("bytes_in", "bigint", (column) => column.notNull())
        .addColumn("bytes_out", "bigint", (column) => column.notNull())
        .addColumn("first_used_at", "bigint")
        .addColumn("last_used_at", "bigint")
        .addColumn("last_error", "text", (column) => column.notNull())
        .addColumn("last_error_at", "bigint")
        .execute();
      await createIndex(db, "preview_grants", ["machine_id", "created_at", "id"]);
      await createIndex(db, "preview_grants", ["expires_at"]);
    },
  },
  "0006-projects": {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable("projects")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("limits", "text", (column) => column.notNull())
        .execute();
      await createIndex(db, "projects", ["created_at", "id"]);
      const now = Date.now();
      await sql`insert into projects (id, created_at, limits) values ('default', ${now}, '{}')`.execute(
        db,
      );
      // Everything that is there belongs to that one from now on.
      for (const table of ["machines", "snapshots", "events", "api_keys"]) {
        await db.schema
          .alterTable(table)
          .addColumn("project_id", "text", (column) => column.notNull().defaultTo("default"))
          .execute();
      }
      await db.schema
        .alterTable("api_keys")
        .addColumn("scopes", "text", (column) => column.notNull().defaultTo("project"))
        .execute();
      // Unique in a project: the column holds both, with a space between that no project has.
      for (const table of ["machines", "snapshots"]) {
        await sql`update ${sql.table(table)} set idempotency_key = 'default ' || idempotency_key
          where idempotency_key is not null`.execute(db);
      }
      await createIndex(db, "machines", ["project_id", "created_at", "id"]);
      await createIndex(db, "machines", ["project_id", "state"]);
      await createIndex(db, "snapshots", ["project_id", "created_at", "id"]);
      await createIndex(db, "events", ["project_id", "id"]);
      await createIndex(db, "api_keys", ["project_id", "created_at", "id"]);

      await db.schema
        .createTable("audit")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("project_id", "text", (column) => column.notNull())
        .addColumn("key_id", "text", (column) => column.notNull())
        .addColumn("rpc", "text", (column) => column.notNull())
        .addColumn("object_id", "text", (column) => column.notNull())
        .addColumn("outcome", "text", (column) => column.notNull())
        .addColumn("request_id", "text", (column) => column.notNull())
        .execute();
      await createIndex(db, "audit", ["project_id", "created_at", "id"]);
      await createIndex(db, "audit", ["created_at"]);
    },
  },
  "0007-egress": {
    async up(db: Kysely<unknown>) {
      // What there was before had no network.
      const usual = JSON.stringify({ mode: "EGRESS_MODE_DENY_ALL" });
      for (const table of ["machines", "snapshots"]) {
        await db.schema
          .alterTable(table)
          .addColumn("egress", "text", (column) => column.notNull().defaultTo(usual))
          .execute();
      }
    },
  },
  "0008-ssh": {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable("ssh_accesses")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("machine_id", "text", (column) =>
          column.notNull().references("machines.id").onDelete("cascade"),
        )
        .addColumn("project_id", "text", (column) => column.notNull())
        .addColumn("fingerprint", "text", (column) => column.notNull())
        .addColumn("token_hash", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("expires_at", "bigint", (column) => column.notNull())
        .addColumn("revoked_at", "bigint")
        .addColumn("last_used_at", "bigint")
        .addColumn("use_count", "bigint", (column) => column.notNull())
        .execute();
      await createIndex(db, "ssh_accesses", ["machine_id", "created_at", "id"]);
      await createIndex(db, "ssh_accesses", ["expires_at"]);
      await db.schema
        .alterTable("events")
        .addColumn("ssh_access_id", "text", (column) => column.notNull().defaultTo(""))
        .execute();
    },
  },
  "0009-ssh-presence": {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable("ssh_connections")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("access_id", "text", (column) => column.notNull())
        .addColumn("machine_id", "text", (column) => column.notNull())
        .addColumn("project_id", "text", (column) => column.notNull())
        .addColumn("host_id", "text", (column) => column.notNull())
        .addColumn("started_at", "bigint", (column) => column.notNull())
        .execute();
      await createIndex(db, "ssh_connections", ["project_id"]);
      await createIndex(db, "ssh_connections", ["host_id"]);
    },
  },
};

async function createIndex(db: Kysely<unknown>, table: string, columns: string[]): Promise<void> {
  const name = `${table}_by_${columns.join("_")}`;
  await db.schema.createIndex(name).on(table).columns(columns).execute();
}
