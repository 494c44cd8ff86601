import { type ExpressionBuilder, type Selectable, sql } from "kysely";
import type { EventNote } from "../domain/event.js";
import type { Page, SnapshotStep } from "../domain/machine-store.js";
import type { Admission } from "../domain/project.js";
import type {
  Capture,
  NewSnapshot,
  Snapshot,
  SnapshotKind,
  SnapshotQuery,
  SnapshotState,
  SnapshotStore,
} from "../domain/snapshot.js";
import type { Database } from "./database.js";
import { appendEvent } from "./events.js";
import { fromEgress, ownedKey, toDate, toEgress, toLabels } from "./machine-row.js";
import { newestFirst, toPage } from "./pages.js";
import { admit } from "./project-usage.js";
import type { Schema, SnapshotsTable } from "./schema.js";
import { NO_RESERVE, type Reserve } from "./space-reserve.js";

/** Snapshots' records in a SQL database. */
export class SqlSnapshotStore implements SnapshotStore {
  readonly #database: Database;
  readonly #reserve: Reserve;

  constructor(database: Database, reserve: Reserve = NO_RESERVE) {
    this.#database = database;
    this.#reserve = reserve;
  }

  async insert(snapshot: NewSnapshot, admission?: Admission): Promise<Snapshot | undefined> {
    return this.#database.transaction().execute(async (transaction) => {
      const inserted = await insertSnapshot(transaction, snapshot);
      if (inserted === undefined) return undefined;
      if (admission !== undefined) await admit(transaction, snapshot.projectId, admission);
      return inserted;
    });
  }

  async find(id: string): Promise<Snapshot | undefined> {
    const row = await this.#database
      .selectFrom("snapshots")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async findIn(projectId: string, id: string): Promise<Snapshot | undefined> {
    const row = await this.#database
      .selectFrom("snapshots")
      .selectAll()
      .where("id", "=", id)
      .where("project_id", "=", projectId)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async findByIdempotencyKey(projectId: string, key: string): Promise<Snapshot | undefined> {
    const row = await this.#database
      .selectFrom("snapshots")
      .selectAll()
      .where("idempotency_key", "=", ownedKey(projectId, key))
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async complete(
    id: string,
    capture: Capture,
    at: Date,
    note: EventNote,
  ): Promise<Snapshot | undefined> {
    return this.#database
      .transaction()
      .execute(async (transaction) => completeSnapshot(transaction, id, capture, at, note));
  }

  async beginDelete(id: string): Promise<void> {
    await this.#reserve.spend(() =>
      this.#database
        .updateTable("snapshots")
        .set({ state: "deleting", idempotency_key: null })
        .where("id", "=", id)
        .where("state", "=", "ready")
        .execute(),
    );
  }

  async remove(id: string, at: Date, note: EventNote): Promise<void> {
    await this.#reserve.spend(() =>
      this.#database
        .transaction()
        .execute(async (transaction) => removeSnapshot(transaction, id, at, note)),
    );
  }

  async list(query: SnapshotQuery): Promise<Page<Snapshot>> {
    let select = this.#database
      .selectFrom("snapshots")
      .selectAll()
      .where("project_id", "=", query.projectId)
      .where("state", "=", "ready")
      .$call(newestFirst(query.limit, query.cursor));
    if (query.machineId !== "") select = select.where("machine_id", "=", query.machineId);
    if (query.kind !== undefined) select = select.where("kind", "=", query.kind);
    for (const [name, value] of Object.entries(query.metadata)) {
      select = select.where((eb) => hasLabel(eb, name, value));
    }
    return toPage((await select.execute()).map(fromRow), query.limit);
  }

  async listOfHost(hostId: string): Promise<readonly Snapshot[]> {
    const rows = await this.#database
      .selectFrom("snapshots")
      .selectAll()
      .where("host_id", "=", hostId)
      .execute();
    return rows.map(fromRow);
  }
}

/** Does what a machine's transition does to the snapshot of its pause. */
export async function stepSnapshot(
  transaction: Database,
  step: SnapshotStep,
  at: Date,
  note: EventNote,
): Promise<void> {
  if ("add" in step) await insertSnapshot(transaction, step.add);
  else if ("complete" in step) {
    await completeSnapshot(transaction, step.complete, step.capture, at, note);
  } else await removeSnapshot(transaction, step.remove, at, note);
}

async function insertSnapshot(
  transaction: Database,
  snapshot: NewSnapshot,
): Promise<Snapshot | undefined> {
  const row = await transaction
    .insertInto("snapshots")
    .values({
      id: snapshot.id,
      project_id: snapshot.projectId,
      host_id: snapshot.hostId,
      kind: snapshot.kind,
      state: "creating",
      machine_id: snapshot.machineId,
      parent_id: snapshot.parentId,
      name: snapshot.name,
      metadata: JSON.stringify(snapshot.metadata),
      template_name: snapshot.templateName,
      template_tag: snapshot.templateTag,
      vcpus: snapshot.vcpus,
      memory_mb: snapshot.memoryMb,
      disk_mb: snapshot.diskMb,
      cwd: snapshot.cwd,
      size_bytes: 0,
      stopped_ms: 0,
      egress: fromEgress(snapshot.egress),
      created_at: snapshot.createdAt.getTime(),
      idempotency_key: ownedKey(snapshot.projectId, snapshot.idempotencyKey),
      request_hash: snapshot.requestHash,
    })
    .onConflict((conflict) => conflict.column("idempotency_key").doNothing())
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const labels = Object.entries(snapshot.metadata).map(([name, value]) => ({
    snapshot_id: snapshot.id,
    name,
    value,
  }));
  if (labels.length > 0) await transaction.insertInto("snapshot_labels").values(labels).execute();
  return fromRow(row);
}

async function completeSnapshot(
  transaction: Database,
  id: string,
  { sizeBytes, stoppedMs, diskMb }: Capture,
  at: Date,
  note: EventNote,
): Promise<Snapshot | undefined> {
  const row = await transaction
    .updateTable("snapshots")
    .set({ state: "ready", size_bytes: sizeBytes, stopped_ms: stoppedMs, disk_mb: diskMb })
    .where("id", "=", id)
    .where("state", "=", "creating")
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) return undefined;
  await appendEvent(transaction, {
    type: "snapshot created",
    createdAt: at,
    projectId: row.project_id,
    machineId: row.machine_id,
    snapshotId: id,
    ...note,
  });
  return fromRow(row);
}

async function removeSnapshot(
  transaction: Database,
  id: string,
  at: Date,
  note: EventNote,
): Promise<void> {
  const row = await transaction
    .deleteFrom("snapshots")
    .where("id", "=", id)
    .returning(["project_id", "machine_id", "state"])
    .executeTakeFirst();
  if (row === undefined || row.state === "creating") return;
  await appendEvent(transaction, {
    type: "snapshot deleted",
    createdAt: at,
    projectId: row.project_id,
    machineId: row.machine_id,
    snapshotId: id,
    ...note,
  });
}

function fromRow(row: Selectable<SnapshotsTable>): Snapshot {
  return {
    id: row.id,
    projectId: row.project_id,
    hostId: row.host_id,
    kind: toKind(row.kind),
    state: toState(row.state),
    machineId: row.machine_id,
    parentId: row.parent_id,
    name: row.name,
    metadata: toLabels(row.metadata),
    templateName: row.template_name,
    templateTag: row.template_tag,
    vcpus: row.vcpus,
    memoryMb: row.memory_mb,
    diskMb: row.disk_mb,
    cwd: row.cwd,
    sizeBytes: Number(row.size_bytes),
    stoppedMs: row.stopped_ms,
    egress: toEgress(row.egress),
    createdAt: toDate(row.created_at),
    requestHash: row.request_hash,
  };
}

function toKind(text: string): SnapshotKind {
  if (text === "reusable" || text === "pause") return text;
  throw new Error(`the database holds an unknown kind of snapshot: ${text}`);
}

function toState(text: string): SnapshotState {
  if (text === "creating" || text === "ready" || text === "deleting") return text;
  throw new Error(`the database holds an unknown state of a snapshot: ${text}`);
}

function hasLabel(eb: ExpressionBuilder<Schema, "snapshots">, name: string, value: string) {
  return eb.exists(
    eb
      .selectFrom("snapshot_labels")
      .select(sql.lit(1).as("one"))
      .whereRef("snapshot_labels.snapshot_id", "=", "snapshots.id")
      .where("snapshot_labels.name", "=", name)
      .where("snapshot_labels.value", "=", value),
  );
}
