import { type Selectable, sql } from "kysely";
import type { EventType, NewEvent } from "../domain/event.js";
import type { Page } from "../domain/machine-store.js";
import type { Admission } from "../domain/project.js";
import type {
  NewSshConnection,
  SshAccess,
  SshAccessQuery,
  SshAccessStore,
  SshConnectionEnd,
} from "../domain/ssh/access.js";
import type { Database } from "./database.js";
import { appendEvent } from "./events.js";
import { deleteExpired } from "./expired.js";
import { toDate, toMilliseconds, toOptionalDate } from "./machine-row.js";
import { newestFirst, toPage } from "./pages.js";
import { admit } from "./project-usage.js";
import type { SshAccessesTable } from "./schema.js";

/** Records of access by SSH in a SQL database. They go with the record of their machine. */
export class SqlSshAccessStore implements SshAccessStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insert(access: SshAccess): Promise<void> {
    await this.#database.transaction().execute(async (transaction) => {
      await transaction
        .insertInto("ssh_accesses")
        .values({
          id: access.id,
          machine_id: access.machineId,
          project_id: access.projectId,
          fingerprint: access.fingerprint,
          token_hash: access.tokenHash,
          created_at: access.createdAt.getTime(),
          expires_at: access.expiresAt.getTime(),
          revoked_at: toMilliseconds(access.revokedAt),
          last_used_at: toMilliseconds(access.lastUsedAt),
          use_count: access.useCount,
        })
        .execute();
      await appendEvent(transaction, eventOf(access, "ssh access created", access.createdAt));
    });
  }

  async find(id: string): Promise<SshAccess | undefined> {
    const row = await this.#database
      .selectFrom("ssh_accesses")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async list({ machineId, limit, cursor }: SshAccessQuery): Promise<Page<SshAccess>> {
    const rows = await this.#database
      .selectFrom("ssh_accesses")
      .selectAll()
      .where("machine_id", "=", machineId)
      .$call(newestFirst(limit, cursor))
      .execute();
    return toPage(rows.map(fromRow), limit);
  }

  async revoke(id: string, at: Date): Promise<SshAccess | undefined> {
    return this.#database.transaction().execute(async (transaction) => {
      const row = await transaction
        .updateTable("ssh_accesses")
        .set({ revoked_at: at.getTime() })
        .where("id", "=", id)
        .where("revoked_at", "is", null)
        .returningAll()
        .executeTakeFirst();
      if (row === undefined) return await new SqlSshAccessStore(transaction).find(id);
      const access = fromRow(row);
      await appendEvent(transaction, eventOf(access, "ssh access revoked", at));
      return access;
    });
  }

  async use(
    id: string,
    { id: connectionId, hostId, startedAt: at }: NewSshConnection,
    admission: Admission,
  ): Promise<SshAccess | undefined> {
    return this.#database.transaction().execute(async (transaction) => {
      const row = await transaction
        .updateTable("ssh_accesses")
        .set({ last_used_at: at.getTime(), use_count: sql<number>`use_count + 1` })
        .where("id", "=", id)
        .where("revoked_at", "is", null)
        .where("expires_at", ">", at.getTime())
        .returningAll()
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const access = fromRow(row);
      await transaction
        .insertInto("ssh_connections")
        .values({
          id: connectionId,
          access_id: id,
          machine_id: access.machineId,
          project_id: access.projectId,
          host_id: hostId,
          started_at: at.getTime(),
        })
        .execute();
      await admit(transaction, access.projectId, admission);
      await appendEvent(transaction, eventOf(access, "ssh connected", at));
      return access;
    });
  }

  async end(connectionId: string, { at, cause, openMs }: SshConnectionEnd): Promise<boolean> {
    return this.#database.transaction().execute(async (transaction) => {
      const row = await transaction
        .deleteFrom("ssh_connections")
        .where("id", "=", connectionId)
        .returningAll()
        .executeTakeFirst();
      if (row === undefined) return false;
      await appendEvent(transaction, {
        type: "ssh disconnected",
        createdAt: at,
        projectId: row.project_id,
        machineId: row.machine_id,
        sshAccessId: row.access_id,
        cause,
        timings: openMs === undefined ? {} : { openMs },
      });
      return true;
    });
  }

  async listOpen(hostId: string): Promise<readonly string[]> {
    const rows = await this.#database
      .selectFrom("ssh_connections")
      .select("id")
      .where("host_id", "=", hostId)
      .orderBy("started_at")
      .execute();
    return rows.map(({ id }) => id);
  }

  async deleteExpired(before: Date, limit: number): Promise<number> {
    return await deleteExpired(this.#database, "ssh_accesses", before, limit);
  }
}

function eventOf(access: SshAccess, type: EventType, at: Date): NewEvent {
  const { id: sshAccessId, machineId, projectId } = access;
  return { type, createdAt: at, projectId, machineId, sshAccessId, cause: "request" };
}

function fromRow(row: Selectable<SshAccessesTable>): SshAccess {
  return {
    id: row.id,
    machineId: row.machine_id,
    projectId: row.project_id,
    fingerprint: row.fingerprint,
    tokenHash: row.token_hash,
    createdAt: toDate(row.created_at),
    expiresAt: toDate(row.expires_at),
    revokedAt: toOptionalDate(row.revoked_at),
    lastUsedAt: toOptionalDate(row.last_used_at),
    useCount: Number(row.use_count),
  };
}
