import { redactSecrets } from "@nullspace/proto/tokens";
import type { Selectable } from "kysely";
import type {
  Event,
  EventNote,
  EventQuery,
  EventStore,
  EventType,
  NewEvent,
} from "../domain/event.js";
import type { Machine, MachineState } from "../domain/machine.js";
import type { Database } from "./database.js";
import { jsonEntries, toDate, toState } from "./machine-row.js";
import type { EventsTable } from "./schema.js";

/** Longest failure that an event tells; the machine's record has all of it. */
const MAX_FAILURE_LENGTH = 500;

const TYPES: Readonly<Record<EventType, true>> = {
  "machine state": true,
  "machine timeout set": true,
  "machine egress set": true,
  "machine forked": true,
  "snapshot created": true,
  "snapshot deleted": true,
  "ssh access created": true,
  "ssh access revoked": true,
  "ssh connected": true,
  "ssh disconnected": true,
};

/** Events in a SQL database. */
export class SqlEventStore implements EventStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async append(event: NewEvent): Promise<void> {
    await this.#database
      .transaction()
      .execute(async (transaction) => appendEvent(transaction, event));
  }

  async lastId(): Promise<number> {
    const { last } = await this.#database
      .selectFrom("event_counter")
      .select("last")
      .executeTakeFirstOrThrow();
    return Number(last);
  }

  async listAfter(id: number, query: EventQuery, limit: number): Promise<readonly Event[]> {
    const rows = await this.#select(query)
      .where("id", ">", id)
      .orderBy("id")
      .limit(limit)
      .execute();
    return rows.map(fromRow);
  }

  async listBefore(
    id: number | undefined,
    query: EventQuery,
    limit: number,
  ): Promise<readonly Event[]> {
    let select = this.#select(query).orderBy("id", "desc").limit(limit);
    if (id !== undefined) select = select.where("id", "<", id);
    return (await select.execute()).map(fromRow);
  }

  async deleteExpired(before: Date, limit: number): Promise<number> {
    const { numDeletedRows } = await this.#database
      .deleteFrom("events")
      .where("id", "in", (eb) =>
        eb
          .selectFrom("events")
          .select("id")
          .where("created_at", "<", before.getTime())
          .where((gone) =>
            gone.not(
              gone.exists(
                gone
                  .selectFrom("machines")
                  .select("machines.id")
                  .whereRef("machines.id", "=", "events.machine_id"),
              ),
            ),
          )
          .orderBy("id")
          .limit(limit),
      )
      .executeTakeFirstOrThrow();
    return Number(numDeletedRows);
  }

  #select({ projectId, machineId }: EventQuery) {
    const select = this.#database
      .selectFrom("events")
      .selectAll()
      .where("project_id", "=", projectId);
    return machineId === "" ? select : select.where("machine_id", "=", machineId);
  }
}

/**
 * Writes an event as the last step of a transaction: from here until its commit
 * no other event gets a number, so events become visible in their order.
 */
export async function appendEvent(transaction: Database, event: NewEvent): Promise<void> {
  const { last } = await transaction
    .updateTable("event_counter")
    .set((eb) => ({ last: eb("last", "+", 1) }))
    .returning("last")
    .executeTakeFirstOrThrow();
  await transaction
    .insertInto("events")
    .values({
      id: Number(last),
      type: event.type,
      created_at: event.createdAt.getTime(),
      project_id: event.projectId,
      machine_id: event.machineId,
      snapshot_id: event.snapshotId ?? "",
      source_machine_id: event.sourceMachineId ?? "",
      from_state: event.fromState ?? null,
      to_state: event.toState ?? null,
      cause: event.cause,
      timings: JSON.stringify(event.timings ?? {}),
      failure: redactSecrets(event.failure ?? "").slice(0, MAX_FAILURE_LENGTH),
      ssh_access_id: event.sshAccessId ?? "",
    })
    .execute();
}

/** The event of a machine that has just entered its state. */
export function stateEvent(
  machine: Machine,
  fromState: MachineState | undefined,
  createdAt: Date,
  note: EventNote,
): NewEvent {
  const { id, projectId, state, parentId, pausedSnapshotId, sourceSnapshotId, failure } = machine;
  const isPause = state === "pausing" || state === "paused" || state === "resuming";
  return {
    type: "machine state",
    createdAt,
    projectId,
    machineId: id,
    snapshotId: isPause ? pausedSnapshotId : sourceSnapshotId,
    sourceMachineId: parentId,
    ...(fromState !== undefined && { fromState }),
    toState: state,
    failure: state === "failed" ? failure : "",
    ...note,
  };
}

function fromRow(row: Selectable<EventsTable>): Event {
  return {
    id: Number(row.id),
    type: toType(row.type),
    createdAt: toDate(row.created_at),
    projectId: row.project_id,
    machineId: row.machine_id,
    snapshotId: row.snapshot_id,
    sourceMachineId: row.source_machine_id,
    fromState: row.from_state === null ? undefined : toState(row.from_state),
    toState: row.to_state === null ? undefined : toState(row.to_state),
    cause: row.cause,
    timings: Object.fromEntries(
      jsonEntries(row.timings).map(([phase, value]) => [phase, Number(value)]),
    ),
    failure: row.failure,
    sshAccessId: row.ssh_access_id,
  };
}

function toType(text: string): EventType {
  if (isType(text)) return text;
  throw new Error(`the database holds an unknown event type: ${text}`);
}

function isType(text: string): text is EventType {
  return Object.hasOwn(TYPES, text);
}
