import type { EgressPolicy } from "@nullspace/proto";
import { type ExpressionBuilder, sql, type Updateable } from "kysely";
import type { EventNote, EventType } from "../domain/event.js";
import { LIVE_STATES, type Machine, type MachineState } from "../domain/machine.js";
import type {
  MachineChanges,
  MachineQuery,
  MachineStore,
  NewMachine,
  Page,
  TimeoutChanges,
} from "../domain/machine-store.js";
import type { Admission } from "../domain/project.js";
import type { Transition } from "../domain/transitions.js";
import type { Database } from "./database.js";
import { appendEvent, stateEvent } from "./events.js";
import {
  changedColumns,
  fromEgress,
  fromRow,
  newRow,
  ownedKey,
  timeoutColumns,
  toOptionalDate,
  toState,
} from "./machine-row.js";
import { newestFirst, toPage } from "./pages.js";
import { admit } from "./project-usage.js";
import type { MachinesTable, Schema } from "./schema.js";
import { stepSnapshot } from "./snapshots.js";
import { NO_RESERVE, type Reserve } from "./space-reserve.js";

/** On the way to them a machine gives back what it held, its space on the disk too. */
const FREEING_STATES: readonly MachineState[] = ["killing", "killed", "failed"];

/** Machines' records in a SQL database. */
export class SqlMachineStore implements MachineStore {
  readonly #database: Database;
  readonly #reserve: Reserve;

  constructor(database: Database, reserve: Reserve = NO_RESERVE) {
    this.#database = database;
    this.#reserve = reserve;
  }

  async insert(
    machine: NewMachine,
    note: EventNote,
    admission?: Admission,
  ): Promise<Machine | undefined> {
    const labels = Object.entries(machine.metadata).map(([name, value]) => ({
      machine_id: machine.id,
      name,
      value,
    }));
    return this.#database.transaction().execute(async (transaction) => {
      const inserted = await insertRow(transaction, machine);
      if (inserted === undefined) return undefined;
      if (admission !== undefined) await admit(transaction, machine.projectId, admission);
      if (labels.length > 0) {
        await transaction.insertInto("machine_labels").values(labels).execute();
      }
      await appendEvent(transaction, stateEvent(inserted, undefined, machine.createdAt, note));
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

  async findIn(projectId: string, id: string): Promise<Machine | undefined> {
    const row = await this.#database
      .selectFrom("machines")
      .selectAll()
      .where("id", "=", id)
      .where("project_id", "=", projectId)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async findByIdempotencyKey(projectId: string, key: string): Promise<Machine | undefined> {
    const row = await this.#database
      .selectFrom("machines")
      .selectAll()
      .where("idempotency_key", "=", ownedKey(projectId, key))
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async findByPausedSnapshot(snapshotId: string): Promise<Machine | undefined> {
    const row = await this.#database
      .selectFrom("machines")
      .selectAll()
      .where("paused_snapshot_id", "=", snapshotId)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async transition(
    id: string,
    edge: Transition,
    at: Date,
    changes: MachineChanges,
    note: EventNote,
  ): Promise<Machine | undefined> {
    const move = () => this.#transition(id, edge, at, changes, note);
    return await (FREEING_STATES.includes(edge.to) ? this.#reserve.spend(move) : move());
  }

  async #transition(
    id: string,
    edge: Transition,
    at: Date,
    changes: MachineChanges,
    note: EventNote,
  ): Promise<Machine | undefined> {
    return this.#database.transaction().execute(async (transaction) => {
      const row = await transaction
        .updateTable("machines")
        .set({ ...changedColumns(changes), state: edge.to, state_since: at.getTime() })
        // On the right-hand side is the row as it was.
        .set((eb) => ({ revision: eb("revision", "+", 1), prior_state: eb.ref("state") }))
        .where("id", "=", id)
        .where("state", "in", edge.from)
        .returningAll()
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const machine = fromRow(row);
      if (changes.snapshot !== undefined) {
        await stepSnapshot(transaction, changes.snapshot, at, note);
      }
      await appendEvent(transaction, stateEvent(machine, toState(row.prior_state), at, note));
      return machine;
    });
  }

  async setTimeouts(
    id: string,
    from: MachineState,
    changes: TimeoutChanges,
    at: Date,
  ): Promise<Machine | undefined> {
    return this.#set(id, from, timeoutColumns(changes), { type: "machine timeout set", at });
  }

  async setEgress(
    id: string,
    from: MachineState,
    egress: EgressPolicy,
    at: Date,
  ): Promise<Machine | undefined> {
    return this.#set(id, from, { egress: fromEgress(egress) }, { type: "machine egress set", at });
  }

  async list(query: MachineQuery): Promise<Page<Machine>> {
    let select = this.#database
      .selectFrom("machines")
      .selectAll()
      .where("project_id", "=", query.projectId)
      .where("state", "in", query.states)
      .$call(newestFirst(query.limit, query.cursor));
    if (query.templateName !== undefined) {
      select = select.where("template_name", "=", query.templateName);
    }
    if (query.templateTag !== undefined) {
      select = select.where("template_tag", "=", query.templateTag);
    }
    for (const [name, value] of Object.entries(query.metadata)) {
      select = select.where((eb) => hasLabel(eb, name, value));
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

  async listLiveIn(projectId: string): Promise<readonly Machine[]> {
    const rows = await this.#database
      .selectFrom("machines")
      .selectAll()
      .where("project_id", "=", projectId)
      .where("state", "in", LIVE_STATES)
      .orderBy("created_at")
      .orderBy("id")
      .execute();
    return rows.map(fromRow);
  }

  async nextDeadline(hostId: string): Promise<Date | undefined> {
    const [first] = await this.#selectDue(hostId).limit(1).execute();
    return toOptionalDate(first?.due_at ?? null);
  }

  async listDue(hostId: string, now: Date, limit: number): Promise<readonly Machine[]> {
    const rows = await this.#selectDue(hostId)
      .where((eb) => eb(dueAt(eb), "<=", now.getTime()))
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

  /** Machines that have a moment at which something happens to them, the next one first. */
  #selectDue(hostId: string) {
    return this.#database
      .selectFrom("machines")
      .selectAll()
      .select((eb) => dueAt(eb).as("due_at"))
      .where("host_id", "=", hostId)
      .where((eb) =>
        eb.or([
          eb("state", "=", "running").and("timeout_at", "is not", null),
          eb("state", "=", "paused").and("resumed_as", "=", "").and("delete_at", "is not", null),
        ]),
      )
      .orderBy("due_at");
  }

  /** Changes settings of a machine that is in the state `from`; the state stays. */
  async #set(
    id: string,
    from: MachineState,
    columns: Updateable<MachinesTable>,
    { type, at }: { type: EventType; at: Date },
  ): Promise<Machine | undefined> {
    return this.#database.transaction().execute(async (transaction) => {
      const row = await transaction
        .updateTable("machines")
        .set(columns)
        .set((eb) => ({ revision: eb("revision", "+", 1) }))
        .where("id", "=", id)
        .where("state", "=", from)
        .returningAll()
        .executeTakeFirst();
      if (row === undefined) return undefined;
      await appendEvent(transaction, {
        type,
        createdAt: at,
        projectId: row.project_id,
        machineId: id,
        cause: "request",
      });
      return fromRow(row);
    });
  }
}

function dueAt(eb: ExpressionBuilder<Schema, "machines">) {
  return eb
    .case("state")
    .when("running")
    .then(eb.ref("timeout_at"))
    .else(eb.ref("delete_at"))
    .end();
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
