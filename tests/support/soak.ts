import type { Machine, Nullspace } from "@nullspace/sdk";
import { leftovers } from "./leaks.js";

/** What a soak came to. */
export interface SoakResult {
  cycles: number;
  /** Numbers that a count lost or repeated, databases and file systems that were not sound. */
  losses: string[];
  /** What was left when every machine was killed. */
  leaks: string[];
}

/** Counts in memory, into flushed files on disk and in tmpfs, and into a database. */
const LOAD = `python3 -uc '
import os, sqlite3, time
db = sqlite3.connect("/workspace/soak.db")
db.execute("create table t (id integer primary key)")
disk, memory = open("/workspace/count", "a"), open("/dev/shm/count", "a")
i = 0
while True:
    i += 1
    for f in (disk, memory): f.write(f"{i}\\n"); f.flush()
    os.fsync(disk.fileno())
    with db: db.execute("insert into t values (?)", (i,))
    time.sleep(0.02)
'`;

/** Lines, then whether everything is as it must be. */
const CHECK = `
until [ -s /dev/shm/count ]; do sleep 0.1; done
for f in /workspace/count /dev/shm/count; do awk 'NR != $1 { bad++ } END { print NR, bad + 0 }' $f; done
python3 -c '
import sqlite3
db = sqlite3.connect("/workspace/soak.db", timeout=30)
print(db.execute("pragma integrity_check").fetchone()[0])
print(db.execute("select max(id) - count(*) from t").fetchone()[0])
'`;

/** The ways from one generation to the next. */
const STEPS = {
  pause: async (client: Nullspace, machine: Machine) => {
    const { id } = await machine.pause();
    return await client.machines.resume(id);
  },
  snapshot: async (client: Nullspace, machine: Machine) => {
    const { id } = await machine.createSnapshot();
    const next = await client.machines.create({ snapshotId: id, timeoutSeconds: 0 });
    await machine.kill();
    await client.snapshots.delete(id);
    return next;
  },
  fork: async (_client: Nullspace, machine: Machine) => {
    const next = await machine.fork({ timeoutSeconds: 0 });
    await machine.kill();
    return next;
  },
} as const;

const NAMES = ["pause", "snapshot", "fork"] as const;

/**
 * Takes one machine under write load through many generations of pauses, snapshots and
 * forks, one made of the other, and checks each for what it has lost.
 *
 * @param home - of the server, which has no other machines.
 */
export async function soak(
  client: Nullspace,
  home: string,
  cycles: number,
  note: (text: string) => void,
): Promise<SoakResult> {
  const losses: string[] = [];
  let machine = await client.machines.create({ timeoutSeconds: 0 });
  await machine.commands.run(LOAD, { background: true });
  let last = 0;
  for (let cycle = 1; cycle <= cycles; cycle++) {
    const name = NAMES[Math.floor(Math.random() * NAMES.length)] ?? "fork";
    machine = await STEPS[name](client, machine);
    const { stdout } = await machine.commands.run(CHECK);
    const [disk = "", memory = "", integrity = "", missing = ""] = stdout.trim().split("\n");
    const lines = Number(disk.split(" ")[0]);
    const isSound =
      disk.endsWith(" 0") && memory.endsWith(" 0") && integrity === "ok" && missing === "0";
    if (!isSound || lines <= last) losses.push(`cycle ${cycle}, ${name}: ${stdout.trim()}`);
    last = lines;
    note(`cycle ${cycle} of ${cycles}: ${name}, ${lines} lines`);
  }
  await machine.kill();
  const { processes, directories, mounts } = await leftovers(home);
  const kept = (await client.snapshots.list()).items.map(({ id }) => `snapshot ${id}`);
  return { cycles, losses, leaks: [...processes, ...directories, ...mounts, ...kept] };
}
