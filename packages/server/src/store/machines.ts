import { type ExpressionBuilder, sql } from "kysely";
import { LIVE_STATES, type Machine, type TimeoutAction } from "../domain/machine.js";
import type {
  MachineChanges,
  MachineQuery,
  MachineStore,
  NewMachine,
  Page,
} from "../domain/machine-store.js";
import type { Transition } from "../domain/transitions.js";
import { decodeCursor } from "./cursor.js";
import type { Database } from "./database.js";
import { changedColumns, fromRow, newRow, toMilliseconds, toOptionalDate } from "./machine-row.js";
import { toPage } from "./pages.js";
import type { Schema } from "./schema.js";

/** Machines' records in a SQL database. */
export class SqlMachineStore implements MachineStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insert(machine: NewMachine): Promise<Machine | undefined> {
    const labels = Object.entries(machine.metadata).map(([name, value]) => ({
      machine_id: machine.id,
      name,
      value,
    }));
    if (labels.length === 0) return insertRow(this.#database, machine);
    return this.#database.transaction().execute(async (transaction) => {
      const inserted = await insertRow(transaction, machine);
      if (inserted !== undefined) {
        await transaction.insertInto("machine_labels").values(labels).execute();
      }
      return inserted;
    });
  }

  async find(id: string): Promise<Machine | undefined> {
    const row = await this.#database
      .selectFrom("machines")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async findByIdempotencyKey(key: string): Promise<Machine | undefined> {
    const row = await this.#database
      .selectFrom("machines")
      .selectAll()
      .where("idempotency_key", "=", key)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async transition(
    id: string,
    edge: Transition,
    at: Date,
    changes: MachineChanges,
  ): Promise<Machine | undefined> {
    const row = await this.#database
      .updateTable("machines")
      .set({ ...changedColumns(changes), state: edge.to, state_since: at.getTime() })
      .set((eb) => ({ revision: eb("revision", "+", 1) }))
      .where("id", "=", id)
      .where("state", "in", edge.from)
      .returningAll()
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async setDeadline(
    id: string,
    timeoutAt: Date | undefined,
    onTimeout: TimeoutAction | undefined,
  ): Promise<Machine | undefined> {
    const row = await this.#database
      .updateTable("machines")
      .set({
        timeout_at: toMilliseconds(timeoutAt),
        ...(onTimeout !== undefined && { on_timeout: onTimeout }),
      })
      .set((eb) => ({ revision: eb("revision", "+", 1) }))
      .where("id", "=", id)
      .where("state", "in", ["running", "paused"])
      .returningAll()
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async list(query: MachineQuery): Promise<Page<Machine>> {
    const after = decodeCursor(query.cursor);
    let select = this.#database
      .selectFrom("machines")
      .selectAll()
      .where("state", "in", query.states)
      .orderBy("created_at", "desc")
      .orderBy("id", "desc")
      .limit(query.limit + 1);
    if (query.templateName !== undefined) {
      select = select.where("template_name", "=", query.templateName);
    }
    if (query.templateTag !== undefined) {
      select = select.where("template_tag", "=", query.templateTag);
    }
    for (const [name, value] of Object.entries(query.metadata)) {
      select = select.where((eb) => hasLabel(eb, name, value));
    }
    if (after !== undefined) {
      const { createdAt, id } = after;
      select = select.where((eb) =>
        eb(eb.refTuple("created_at", "id"), "<", eb.tuple(createdAt, id)),
      );
    }
    return toPage((await select.execute()).map(fromRow), query.limit);
  }

  async listLive(hostId: string | undefined): Promise<readonly Machine[]> {
    let select = this.#database
      .selectFrom("machines")
      .selectAll()
      .where("state", "in", LIVE_STATES)
      .orderBy("created_at")
      .orderBy("id");
    if (hostId !== undefined) select = select.where("host_id", "=", hostId);
    return (await select.execute()).map(fromRow);
  }

  async nextDeadline(hostId: string): Promise<Date | undefined> {
    const row = await this.#database
      .selectFrom("machines")
      .select((eb) => eb.fn.min("timeout_at").as("next"))
      .where("host_id", "=", hostId)
      .where("state", "=", "running")
      .executeTakeFirst();
    return toOptionalDate(row?.next ?? null);
  }

  async listDue(hostId: string, now: Date, limit: number): Promise<readonly Machine[]> {
    const rows = await this.#database
      .selectFrom("machines")
      .selectAll()
      .where("host_id", "=", hostId)
      .where("state", "=", "running")
      .where("timeout_at", "<=", now.getTime())
      .orderBy("timeout_at")
      .limit(limit)
      .execute();
    return rows.map(fromRow);
  }

  async deleteEnded(before: Date, limit: number): Promise<number> {
    const { numDeletedRows } = await this.#database
      .deleteFrom("machines")
      .where("id", "in", (eb) =>
        eb
          .selectFrom("machines")
          .select("id")
          .where("ended_at", "<", before.getTime())
          .where("state", "in", ["killed", "failed"])
          .orderBy("ended_at")
          .limit(limit),
      )
      .executeTakeFirstOrThrow();
    return Number(numDeletedRows);
  }
}

async function insertRow(database: Database, machine: NewMachine): Promise<Machine | undefined> {
  const row = await database
    .insertInto("machines")
    .values(newRow(machine))
    .onConflict((conflict) => conflict.column("idempotency_key").doNothing())
    .returningAll()
    .executeTakeFirst();
  return row && fromRow(row);
}

function hasLabel(eb: ExpressionBuilder<Schema, "machines">, name: string, value: string) {
  return eb.exists(
    eb
      .selectFrom("machine_labels")
      .select(sql.lit(1).as("one"))
      .whereRef("machine_labels.machine_id", "=", "machines.id")
      .where("machine_labels.name", "=", name)
      .where("machine_labels.value", "=", value),
  );
}
