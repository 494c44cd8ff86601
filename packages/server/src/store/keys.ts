import { type Selectable, sql } from "kysely";
import type { ApiKey, KeyStore } from "../domain/key-store.js";
import type { Page } from "../domain/machine-store.js";
import { decodeCursor } from "./cursor.js";
import type { Database } from "./database.js";
import { toDate, toMilliseconds, toOptionalDate } from "./machine-row.js";
import { toPage } from "./pages.js";
import type { ApiKeysTable } from "./schema.js";

/** API keys' records in a SQL database. */
export class SqlKeyStore implements KeyStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insert(key: ApiKey): Promise<void> {
    await this.#database
      .insertInto("api_keys")
      .values({
        id: key.id,
        name: key.name,
        hash: key.hash,
        created_at: key.createdAt.getTime(),
        last_used_at: toMilliseconds(key.lastUsedAt),
        revoked_at: toMilliseconds(key.revokedAt),
      })
      .execute();
  }

  async find(id: string): Promise<ApiKey | undefined> {
    const row = await this.#database
      .selectFrom("api_keys")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async list(limit: number, cursor: string): Promise<Page<ApiKey>> {
    const after = decodeCursor(cursor);
    let select = this.#database
      .selectFrom("api_keys")
      .selectAll()
      .orderBy("created_at", "desc")
      .orderBy("id", "desc")
      .limit(limit + 1);
    if (after !== undefined) {
      const { createdAt, id } = after;
      select = select.where((eb) =>
        eb(eb.refTuple("created_at", "id"), "<", eb.tuple(createdAt, id)),
      );
    }
    return toPage((await select.execute()).map(fromRow), limit);
  }

  async revoke(id: string, at: Date): Promise<ApiKey | undefined> {
    const row = await this.#database
      .updateTable("api_keys")
      .set({ revoked_at: sql<number>`coalesce(revoked_at, ${at.getTime()})` })
      .where("id", "=", id)
      .returningAll()
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async touch(id: string, at: Date): Promise<void> {
    await this.#database
      .updateTable("api_keys")
      .set({ last_used_at: at.getTime() })
      .where("id", "=", id)
      .execute();
  }
}

function fromRow(row: Selectable<ApiKeysTable>): ApiKey {
  return {
    id: row.id,
    name: row.name,
    hash: row.hash,
    createdAt: toDate(row.created_at),
    lastUsedAt: toOptionalDate(row.last_used_at),
    revokedAt: toOptionalDate(row.revoked_at),
  };
}
