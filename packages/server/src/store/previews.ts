import { type Selectable, sql } from "kysely";
import type { Page } from "../domain/machine-store.js";
import type {
  PreviewGrant,
  PreviewKind,
  PreviewPass,
  PreviewQuery,
  PreviewStore,
  PreviewTransport,
  PreviewUse,
} from "../domain/preview-grant.js";
import type { Database } from "./database.js";
import { deleteExpired } from "./expired.js";
import { toDate, toOptionalDate } from "./machine-row.js";
import { newestFirst, toPage } from "./pages.js";
import type { PreviewGrantsTable } from "./schema.js";

/** Preview grants' records in a SQL database. */
export class SqlPreviewStore implements PreviewStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insert(pass: PreviewPass): Promise<void> {
    await this.#database
      .insertInto("preview_grants")
      .values({
        id: pass.id,
        machine_id: pass.machineId,
        port: pass.port,
        kind: pass.kind,
        transports: pass.transports.join(" "),
        created_at: pass.createdAt.getTime(),
        expires_at: pass.expiresAt.getTime(),
        http_requests: 0,
        websockets: 0,
        bytes_in: 0,
        bytes_out: 0,
        last_error: "",
      })
      .execute();
  }

  async find(id: string): Promise<PreviewGrant | undefined> {
    const row = await this.#database
      .selectFrom("preview_grants")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async list({ machineId, port, limit, cursor }: PreviewQuery): Promise<Page<PreviewGrant>> {
    let select = this.#database
      .selectFrom("preview_grants")
      .selectAll()
      .where("machine_id", "=", machineId)
      .$call(newestFirst(limit, cursor));
    if (port !== 0) select = select.where("port", "=", port);
    return toPage((await select.execute()).map(fromRow), limit);
  }

  async revoke(id: string, at: Date): Promise<PreviewGrant | undefined> {
    const row = await this.#database
      .updateTable("preview_grants")
      .set({ revoked_at: sql<number>`coalesce(revoked_at, ${at.getTime()})` })
      .where("id", "=", id)
      .returningAll()
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async addUse(id: string, use: PreviewUse): Promise<void> {
    const usedAt = use.usedAt?.getTime();
    const errorAt = use.lastErrorAt?.getTime();
    await this.#database
      .updateTable("preview_grants")
      .set({
        http_requests: sql<number>`http_requests + ${use.httpRequests}`,
        websockets: sql<number>`websockets + ${use.websockets}`,
        bytes_in: sql<number>`bytes_in + ${use.bytesIn}`,
        bytes_out: sql<number>`bytes_out + ${use.bytesOut}`,
        ...(usedAt !== undefined && {
          first_used_at: sql<number>`coalesce(first_used_at, ${usedAt})`,
          last_used_at: usedAt,
        }),
        ...(errorAt !== undefined && { last_error: use.lastError, last_error_at: errorAt }),
      })
      .where("id", "=", id)
      .execute();
  }

  async deleteExpired(before: Date, limit: number): Promise<number> {
    return await deleteExpired(this.#database, "preview_grants", before, limit);
  }
}

function fromRow(row: Selectable<PreviewGrantsTable>): PreviewGrant {
  return {
    id: row.id,
    machineId: row.machine_id,
    port: row.port,
    kind: toKind(row.kind),
    transports: row.transports.split(" ").filter(isTransport),
    createdAt: toDate(row.created_at),
    expiresAt: toDate(row.expires_at),
    revokedAt: toOptionalDate(row.revoked_at),
    httpRequests: Number(row.http_requests),
    websockets: Number(row.websockets),
    bytesIn: Number(row.bytes_in),
    bytesOut: Number(row.bytes_out),
    firstUsedAt: toOptionalDate(row.first_used_at),
    lastUsedAt: toOptionalDate(row.last_used_at),
    lastError: row.last_error,
    lastErrorAt: toOptionalDate(row.last_error_at),
  };
}

function toKind(text: string): PreviewKind {
  if (text === "url" || text === "proxy") return text;
  throw new Error(`the database holds an unknown kind of preview grant: ${text}`);
}

function isTransport(text: string): text is PreviewTransport {
  return text === "http" || text === "websocket";
}
