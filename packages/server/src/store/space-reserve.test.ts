import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { sql } from "kysely";
import { beforeEach, expect, test } from "vitest";
import { TRANSITIONS, type TransitionName } from "../domain/transitions.js";
import { newMachine, newSnapshot } from "../testing/machines.js";
import { type Database, openDatabase } from "./database.js";
import { SqlMachineStore } from "./machines.js";
import { SqlSnapshotStore } from "./snapshots.js";
import { type Reserve, SpaceReserve } from "./space-reserve.js";

const NOW = new Date(1_800_000_100_000);
const NOTE = { cause: "test" };
const fullDisk = () => new Fault(ErrorReason.DISK_FULL, "no space");

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "reserve-"));
  return async () => rm(directory, { recursive: true });
});

test("space is kept, given up for one transaction, and taken again afterwards", async () => {
  const path = join(directory, "reserve");
  const size = async () => (await stat(path)).size;
  const reserve = await SpaceReserve.open(path);
  const whole = await size();
  expect(whole).toBeGreaterThan(1 << 20);
  expect((await stat(path)).blocks * 512).toBeGreaterThanOrEqual(whole);

  const sizes: number[] = [];
  const done = await reserve.spend(async () => {
    sizes.push(await size());
    if (sizes.length === 1) throw fullDisk();
    return "done";
  });
  expect(done).toBe("done");
  expect(sizes).toEqual([whole, 0]);
  expect(await size()).toBe(whole);
});

test("it is given up for nothing else, and not for ever", async () => {
  const path = join(directory, "reserve");
  const reserve = await SpaceReserve.open(path);
  const { size } = await stat(path);
  await expect(reserve.spend(() => Promise.reject(new Error("other")))).rejects.toThrow("other");
  expect((await stat(path)).size).toBe(size);
  let attempts = 0;
  const hopeless = reserve.spend(async () => {
    attempts++;
    throw fullDisk();
  });
  await expect(hopeless).rejects.toMatchObject({ reason: ErrorReason.DISK_FULL });
  expect(attempts).toBe(2);
  await (await SpaceReserve.open(path)).spend(async () => undefined);
  expect((await stat(path)).size).toBe(size);
});

/** A database that cannot grow, but for whoever spends the reserve. */
async function fullDatabase(): Promise<{
  database: Database;
  reserve: Reserve;
  fill: () => Promise<void>;
}> {
  const database = await openDatabase(join(directory, "full.db"), () => undefined);
  const setLimit = async (pages: number) => {
    await sql`pragma max_page_count = ${sql.raw(String(pages))}`.execute(database);
  };
  const reserve: Reserve = {
    spend: async (transaction) => {
      await setLimit(100_000);
      try {
        return await transaction();
      } finally {
        await setLimit(1);
      }
    },
  };
  // Fewer than there are: as many as there are.
  return { database, reserve, fill: async () => setLimit(1) };
}

test("on a full disk machines and snapshots can go, and nothing new can come", async () => {
  const { database, reserve, fill } = await fullDatabase();
  const machines = new SqlMachineStore(database, reserve);
  const snapshots = new SqlSnapshotStore(database, reserve);
  const failure = "x".repeat(20_000);
  const [machine, second] = [newMachine(), newMachine()];
  await machines.insert(machine, NOTE);
  await machines.insert(second, NOTE);
  const snapshot = newSnapshot();
  await snapshots.insert(snapshot);
  await snapshots.complete(snapshot.id, { sizeBytes: 1, stoppedMs: 1, diskMb: 1 }, NOW, NOTE);
  await fill();

  const note = { cause: "x".repeat(20_000) };
  const move = (id: string, name: TransitionName) =>
    machines.transition(id, TRANSITIONS[name], NOW, { failure }, note);
  const full = { reason: ErrorReason.DISK_FULL };
  await expect(machines.insert(newMachine({ cwd: failure }), note)).rejects.toMatchObject(full);
  await expect(move(machine.id, "start")).rejects.toMatchObject(full);
  expect((await move(machine.id, "kill"))?.state).toBe("killing");
  expect((await move(machine.id, "finish"))?.state).toBe("killed");
  expect((await move(second.id, "fail"))?.state).toBe("failed");
  await snapshots.beginDelete(snapshot.id);
  await snapshots.remove(snapshot.id, NOW, note);
  expect(await snapshots.find(snapshot.id)).toBeUndefined();
  await database.destroy();
});
