import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import {
  type DialectAdapter,
  SqliteAdapter,
  type SqliteDatabase,
  SqliteDialect,
  type SqliteStatement,
} from "kysely";

/** Statements kept prepared. Our own texts are far fewer; the bound is for lists of varying length. */
const MAX_PREPARED = 200;

/** Kysely's SQLite dialect over Node's own `node:sqlite`. */
export class NodeSqliteDialect extends SqliteDialect {
  /** @param path File of the database; made when it is not there. `:memory:` for one that is not kept. */
  constructor(path: string) {
    super({ database: async () => openDatabase(path) });
  }

  override createAdapter(): DialectAdapter {
    return new TransactionalDdlAdapter();
  }
}

/** SQLite does roll back CREATE TABLE: with this a migration is whole or not there. */
class TransactionalDdlAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

function openDatabase(path: string): SqliteDatabase {
  const database = new DatabaseSync(path);
  // WAL with NORMAL: a commit does not wait for the disk, and a crash of this
  // process loses nothing. After a power cut the last commits may be missing;
  // then the machines are gone too, and the reconciler compares the rest.
  database.exec("pragma journal_mode = wal; pragma synchronous = normal");
  database.exec("pragma foreign_keys = on; pragma busy_timeout = 5000");
  return new PreparingDatabase(database);
}

/** Prepares each text once. */
class PreparingDatabase implements SqliteDatabase {
  readonly #database: DatabaseSync;
  readonly #prepared = new Map<string, Statement>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  prepare(sql: string): SqliteStatement {
    // A transaction that met a full disk has been rolled back by SQLite itself.
    if (sql === "rollback" && !this.#database.isTransaction) return NOTHING;
    let statement = this.#prepared.get(sql);
    if (statement === undefined) statement = new Statement(this.#database.prepare(sql));
    else this.#prepared.delete(sql);
    // A Map keeps the order of insertion: the first is the one unused for longest.
    this.#prepared.set(sql, statement);
    for (const [oldest] of this.#prepared) {
      if (this.#prepared.size <= MAX_PREPARED) break;
      this.#prepared.delete(oldest);
    }
    return statement;
  }

  close(): void {
    this.#prepared.clear();
    this.#database.close();
  }
}

/** A statement that does nothing. */
const NOTHING: SqliteStatement = {
  reader: false,
  all: () => [],
  run: () => ({ changes: 0, lastInsertRowid: 0 }),
  iterate: () => [].values(),
};

class Statement implements SqliteStatement {
  readonly #statement: StatementSync;
  readonly reader: boolean;

  constructor(statement: StatementSync) {
    this.#statement = statement;
    this.reader = statement.columns().length > 0;
  }

  all(parameters: ReadonlyArray<unknown>): unknown[] {
    return tellingOfFullDisk(() => this.#statement.all(...parameters.map(inputValue)));
  }

  run(parameters: ReadonlyArray<unknown>): {
    changes: number | bigint;
    lastInsertRowid: number | bigint;
  } {
    return tellingOfFullDisk(() => this.#statement.run(...parameters.map(inputValue)));
  }

  iterate(parameters: ReadonlyArray<unknown>): IterableIterator<unknown> {
    return this.#statement.iterate(...parameters.map(inputValue));
  }
}

/** SQLite's own code of a database that cannot grow. */
const SQLITE_FULL = 13;

function tellingOfFullDisk<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const isFull = cause instanceof Error && "errcode" in cause && cause.errcode === SQLITE_FULL;
    if (!isFull) throw cause;
    throw new Fault(ErrorReason.DISK_FULL, "the disk of the server's database is full", {
      remedy: "Free space under the server's home and try again.",
      cause,
    });
  }
}

function inputValue(value: unknown): SQLInputValue {
  if (value === null || typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "bigint") return value;
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`SQLite has no value of type ${typeof value}`);
}
