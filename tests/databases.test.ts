import { execFileSync } from "node:child_process";
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Machine } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { mountDisk } from "./support/disk-image.js";
import {
  asPostgres,
  LIBRARIES,
  packPostgres,
  postgresVersion,
  programsOf,
} from "./support/postgres.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

/** A few, unless `npm run soak` asks for more. */
const CAPTURES = Number(process.env["NULLSPACE_SOAK_CAPTURES"] ?? 3);
const CAPTURE_MS = 60_000;

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

const VERSION = await postgresVersion();
const PROGRAMS = programsOf(VERSION);
const PG_CTL = join(PROGRAMS, "pg_ctl");
const ENVS = {
  LD_LIBRARY_PATH: LIBRARIES,
  PATH: `${PROGRAMS}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`,
  PGHOST: "/tmp",
  PGUSER: "test",
  PGDATABASE: "postgres",
};

const TABLES = `
create table counts (slot integer primary key, n integer not null);
create table numbers (id integer primary key, text text not null);
`;

/** Adds a number and counts it elsewhere in one transaction, again and again; says so when it is acknowledged. */
const SQLITE_LOAD = `python3 -uc '
import sqlite3, time
db = sqlite3.connect("/workspace/load.db")
db.execute("pragma synchronous = full")
acked = open("/dev/shm/sqlite-acked", "w", buffering=1)
i = 0
while True:
    i += 1
    with db:
        db.execute("update counts set n = n + 1 where slot = ?", (i % 50,))
        db.execute("insert into numbers values (?, ?)", (i, str(i) * 50))
    print(i, file=acked)
    time.sleep(0.01)
'`;

const POSTGRES_LOAD = `python3 -uc '
import subprocess, time
psql = subprocess.Popen(["psql", "-qAtX"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
acked = open("/dev/shm/postgres-acked", "w", buffering=1)
i = 0
while True:
    i += 1
    psql.stdin.write(f"with a as (update counts set n = n + 1 where slot = {i % 50}) insert into numbers values ({i}, repeat({i}::text, 50)) returning id;\\n")
    assert psql.stdout.readline().strip() == str(i)
    print(i, file=acked)
    time.sleep(0.01)
'`;

const FACTS =
  "select count(*) || ' ' || min(id) || ' ' || max(id) || ' ' || (select sum(n) from counts) from numbers";

/** Starts both databases and their load in a machine. */
async function startLoad(machine: Machine): Promise<void> {
  const archive = await packPostgres();
  await machine.files.write("/tmp/postgres.tgz", createReadStream(archive));
  await rm(archive);
  const fill = "insert into counts select value, 0 from";
  const setUp = `set -e
    sudo tar -xzf /tmp/postgres.tgz -C / && rm /tmp/postgres.tgz
    sudo chown -R "$(id -u):$(id -g)" /workspace && chmod 700 /workspace/postgres
    pg_ctl start -w -D /workspace/postgres -l /workspace/postgres.log -o "-c listen_addresses= -k /tmp" >&2
    psql -qX -c "create extension amcheck" -c "${TABLES}" -c "${fill} generate_series(0, 49) value"
    python3 -c 'import sqlite3; db = sqlite3.connect("/workspace/load.db"); db.executescript("""pragma journal_mode = wal; ${TABLES}"""); db.executemany("insert into counts values (?, 0)", [(i,) for i in range(50)]); db.commit()'`;
  await machine.commands.run(setUp, { timeoutMs: 120_000 });
  await machine.commands.run(SQLITE_LOAD, { background: true });
  await machine.commands.run(POSTGRES_LOAD, { background: true });
}

const KINDS = ["sqlite", "postgres"] as const;

/** Waits until both have acknowledged more than this, and gives how far they are. */
async function acknowledged(machine: Machine, more: number[]): Promise<number[]> {
  const waits = KINDS.map(
    (kind, index) =>
      `until [ "$(wc -l < /dev/shm/${kind}-acked || echo 0)" -gt ${more[index] ?? 0} ]; do sleep 0.05; done`,
  );
  const files = KINDS.map((kind) => `/dev/shm/${kind}-acked`).join(" ");
  const { stdout } = await machine.commands.run(`${waits.join("; ")}; tail -qn 1 ${files}`);
  return stdout.trim().split("\n").map(Number);
}

/** Fails unless numbers are there from 1 on without a gap, all of them counted; gives the last. */
function lastOf(facts: string): number {
  const [count, first, last, counted] = facts.trim().split(" ").map(Number);
  expect([first, count, counted]).toEqual([1, last, last]);
  return last ?? 0;
}

/** What a copy that runs has: it has gone on, so nothing that its load knows of may be missing. */
async function checkRunning(copy: Machine): Promise<void> {
  const { stdout, stderr } = await copy.commands.run(
    `pkill -f 'buffering[=]1'; while pgrep -x psql >/dev/null; do sleep 0.05; done
    tail -qn 1 /dev/shm/sqlite-acked /dev/shm/postgres-acked
    python3 -c 'import sqlite3; db = sqlite3.connect("/workspace/load.db"); print(db.execute("pragma integrity_check").fetchone()[0]); print(db.execute("${FACTS.replaceAll("'", "'\\''")}").fetchone()[0])'
    psql -qAtX -c "${FACTS}"
    pg_amcheck --heapallindexed -t numbers -t counts && echo sound`,
    { timeoutMs: 120_000 },
  );
  const [sqliteAcked, postgresAcked, integrity, sqlite = "", postgres = "", sound] =
    stdout.split("\n");
  expect([integrity, sound, stderr]).toEqual(["ok", "sound", ""]);
  for (const [acked, facts] of [
    [Number(sqliteAcked), sqlite],
    [Number(postgresAcked), postgres],
  ] as const) {
    // The last one may have been on its way.
    expect(lastOf(facts) - acked).toBeOneOf([0, 1]);
  }
}

/** What the disk alone has, as after a power cut: all that was acknowledged before. */
async function checkDisk(snapshotId: string, before: number[]): Promise<void> {
  await using disk = await mountDisk(server.home, snapshotId);
  const database = new DatabaseSync(join(disk.path, "workspace/load.db"));
  expect(database.prepare("pragma integrity_check").get()).toEqual({ integrity_check: "ok" });
  const row = Object.values(database.prepare(FACTS).get() ?? {});
  database.close();
  const lasts = [lastOf(String(row[0]))];

  const data = join(disk.path, "workspace/postgres");
  execFileSync("chown", ["-R", "postgres:", data]);
  // Whoever runs it has to come through to it.
  execFileSync("chmod", ["a+x", dirname(disk.path), disk.path]);
  const options = `-c listen_addresses= -k ${data}`;
  await asPostgres(PG_CTL, "start", "-w", "-D", data, "-o", options, "-l", `${data}/log`);
  try {
    const where = ["-h", data, "-U", "test"];
    const facts = await asPostgres(
      join(PROGRAMS, "psql"),
      ...where,
      "-qAtX",
      "-c",
      FACTS,
      "postgres",
    );
    lasts.push(lastOf(facts));
    await asPostgres(join(PROGRAMS, "pg_amcheck"), ...where, "--heapallindexed", "postgres");
  } finally {
    await asPostgres(PG_CTL, "stop", "-w", "-m", "fast", "-D", data);
  }
  before.forEach((acked, index) => expect(lasts[index]).toBeGreaterThanOrEqual(acked));
}

test(
  "disk and memory are of one instant: SQLite and PostgreSQL under load are sound in every copy",
  async () => {
    const { machines, snapshots } = server.client;
    const machine = await machines.create({ timeoutSeconds: 0, envs: ENVS });
    await startLoad(machine);
    let acked = [0, 0];
    let sound = 0;
    for (let capture = 1; capture <= CAPTURES; capture++) {
      acked = await acknowledged(
        machine,
        acked.map((one) => one + Math.ceil(Math.random() * 40)),
      );
      const snapshot = await machine.createSnapshot();
      await checkDisk(snapshot.id, acked);
      const copy = await machines.create({ snapshotId: snapshot.id });
      await checkRunning(copy);
      await copy.kill();
      await snapshots.delete(snapshot.id);
      sound++;
      console.log(`capture ${capture} of ${CAPTURES}: sound after ${acked.join(" and ")} rows`);
    }
    await machine.kill();
    expect(sound).toBe(CAPTURES);
  },
  CAPTURE_MS * (CAPTURES + 3),
);
