import { Kysely, PostgresDialect } from "kysely";
import { Migrator } from "kysely/migration";
import { Pool } from "pg";
import { MIGRATIONS } from "./migrations.js";
import type { Schema } from "./schema.js";
import { NodeSqliteDialect } from "./sqlite.js";

/** The server's database, with all migrations applied. */
export type Database = Kysely<Schema>;

/** How long to wait for PostgreSQL to accept a connection, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;
/** How long one statement may take in PostgreSQL, in milliseconds. */
const STATEMENT_TIMEOUT_MS = 30_000;

/**
 * Opens a database and brings its schema up to date.
 *
 * @param location A `postgres://` or `postgresql://` URL, or the path of a SQLite file.
 * @param onIdleError Told of a pooled connection that broke while nobody used it; the next query opens another.
 * @throws Error that names the migration which failed.
 */
export async function openDatabase(
  location: string,
  onIdleError: (error: Error) => void,
): Promise<Database> {
  const database = new Kysely<Schema>({ dialect: dialectFor(location, onIdleError) });
  try {
    await migrate(database);
  } catch (error) {
    await database.destroy();
    throw error;
  }
  return database;
}

/** The dialect of a location, as {@link openDatabase} takes it. */
export function dialectFor(location: string, onIdleError: (error: Error) => void) {
  if (!/^postgres(?:ql)?:/.test(location)) return new NodeSqliteDialect(location);
  const pool = new Pool({
    connectionString: location,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
  });
  pool.on("error", onIdleError);
  return new PostgresDialect({ pool });
}

async function migrate(database: Database): Promise<void> {
  const provider = { getMigrations: async () => ({ ...MIGRATIONS }) };
  const { error, results } = await new Migrator({ db: database, provider }).migrateToLatest();
  if (error === undefined) return;
  const failed = results?.find(({ status }) => status === "Error")?.migrationName;
  throw new Error(`the database could not be brought up to date${failed ? ` (${failed})` : ""}`, {
    cause: error,
  });
}
