import { parseScope, type Scope, scopeName } from "@nullspace/proto";
import { type Selectable, sql } from "kysely";
import type { ApiKey, KeyStore, ProjectKey } from "../domain/key-store.js";
import type { Page } from "../domain/machine-store.js";
import type { Database } from "./database.js";
import { toDate, toOptionalDate } from "./machine-row.js";
import { newestFirst, toPage } from "./pages.js";
import { toLimits } from "./project-limits.js";
import type { ApiKeysTable } from "./schema.js";

/** API keys' records in a SQL database. */
export class SqlKeyStore implements KeyStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insert(key: ApiKey): Promise<boolean> {
    const inserted = await this.#database
      .insertInto("api_keys")
      .columns(["id", "project_id", "scopes", "name", "hash", "created_at"])
      .expression((eb) =>
        eb
          .selectFrom("projects")
          .where("projects.id", "=", key.projectId)
          .select((row) => [
            row.val(key.id).as("id"),
            "projects.id as project_id",
            row.val(scopesToText(key.scopes)).as("scopes"),
            row.val(key.name).as("name"),
            row.val(key.hash).as("hash"),
            sql<number>`cast(${key.createdAt.getTime()} as bigint)`.as("created_at"),
          ]),
      )
      .returning("id")
      .executeTakeFirst();
    return inserted !== undefined;
  }

  async find(id: string): Promise<ProjectKey | undefined> {
    const row = await this.#database
      .selectFrom("api_keys")
      .innerJoin("projects", "projects.id", "api_keys.project_id")
      .selectAll("api_keys")
      .select("projects.limits as project_limits")
      .where("api_keys.id", "=", id)
      .executeTakeFirst();
    return row && { ...fromRow(row), projectLimits: toLimits(row.project_limits) };
  }

  async list(projectId: string, limit: number, cursor: string): Promise<Page<ApiKey>> {
    const select = this.#database
      .selectFrom("api_keys")
      .selectAll()
      .where("project_id", "=", projectId)
      .$call(newestFirst(limit, cursor));
    return toPage((await select.execute()).map(fromRow), limit);
  }

  async revoke(id: string, projectId: string | undefined, at: Date): Promise<ApiKey | undefined> {
    let update = this.#database
      .updateTable("api_keys")
      .set({ revoked_at: sql<number>`coalesce(revoked_at, ${at.getTime()})` })
      .where("id", "=", id);
    if (projectId !== undefined) update = update.where("project_id", "=", projectId);
    const row = await update.returningAll().executeTakeFirst();
    return row && fromRow(row);
  }

  async setScopes(id: string, scopes: readonly Scope[]): Promise<void> {
    await this.#database
      .updateTable("api_keys")
      .set({ scopes: scopesToText(scopes) })
      .where("id", "=", id)
      .execute();
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
    projectId: row.project_id,
    scopes: toScopes(row.scopes),
    name: row.name,
    hash: row.hash,
    createdAt: toDate(row.created_at),
    lastUsedAt: toOptionalDate(row.last_used_at),
    revokedAt: toOptionalDate(row.revoked_at),
  };
}

function scopesToText(scopes: readonly Scope[]): string {
  return scopes.map(scopeName).join(" ");
}

/** Those that this version knows: a key may have been made by a later one. */
function toScopes(text: string): Scope[] {
  return text.split(" ").flatMap((name) => parseScope(name) ?? []);
}
