import { chmod, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { createServer } from "node:net";
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import { connectUnix, PageCopier, QmpClient, saveDevices } from "@nullspace/server/internal";
import type { Machine } from "@nullspace/sdk";
import type { Bench } from "./bench.ts";
import { timed } from "./clock.ts";
import { interleave, side } from "./interleave.ts";
import type { Findings, Measurement } from "./measurement.ts";
import { type MachineRecord, readRecord } from "./machine-files.ts";
import { summarise } from "./statistics.ts";
import { until } from "./until.ts";

const MEMORY_MB = 512;
const DEADLINE = { timeoutMs: 120_000 };
/** What is changed in the guest before each snapshot. */
const CHANGE = "head -c 16000000 /dev/urandom > /dev/shm/changed";

/** How long a machine stands still for a snapshot. */
export const capture: Measurement = {
  name: "capture",
  async run(bench: Bench): Promise<Findings> {
    const { quick, signal, home } = bench;
    await using server = await bench.startServer();
    const { machines, snapshots } = server.client;
    const options = { memoryMb: MEMORY_MB, timeoutSeconds: 0, signal };
    await using ours = await machines.create(options);
    // Its disk carries the snapshots that QEMU makes of itself.
    await using theirs = await machines.create(options);
    for (const machine of [ours, theirs]) await machine.commands.run(CHANGE);
    const viaServer = side(async () => {
      const { id, stoppedMs } = await ours.createSnapshot();
      await snapshots.delete(id);
      return [stoppedMs];
    });
    const limit = side(() => withMonitor(home, ours, copyAndSave));
    const savevm = side(() => withMonitor(home, theirs, saveInside));
    const migrate = side(() => withMonitor(home, theirs, migrateToFile));
    const sides = [viaServer, limit, savevm, migrate];
    await interleave(sides, { rounds: quick ? 3 : 8, warmUps: 1, signal });
    const samples = {
      snapshot_stop_ms: { ...summarise(viaServer.samples), unit: "ms" } as const,
      bare_copy_ms: { ...summarise(limit.samples), unit: "ms" } as const,
      savevm_ms: { ...summarise(savevm.samples), unit: "ms" } as const,
      migrate_ms: { ...summarise(migrate.samples), unit: "ms" } as const,
    };
    const { median } = samples.snapshot_stop_ms;
    return {
      about: ABOUT,
      ratios: {
        snapshot_stop_vs_savevm: {
          value: median / samples.savevm_ms.median,
          limit: 0.1,
          of: "createSnapshot's stop / QEMU's savevm",
        },
        snapshot_stop_vs_migrate: {
          value: median / samples.migrate_ms.median,
          limit: 0.1,
          of: "createSnapshot's stop / QEMU's migration to a file",
        },
        snapshot_stop_vs_limit: {
          value: median / samples.bare_copy_ms.median,
          limit: 1.5,
          of: "createSnapshot's stop / a loop that copies the same pages and saves the devices",
        },
      },
      samples,
    };
  },
};

const ABOUT =
  "How long a guest of 512 MiB stands still, 16 MB of its memory changed since its template: for createSnapshot, as the server " +
  "tells it, from stop to cont; for stop, the page map, a copy of the pages it tells of to a file, " +
  "the devices' state and cont, with nothing around it; for QEMU's own savevm, into the disk; and for " +
  "stop, a migration to a file and cont. One after the other, in turn.";

/** Uses a machine's second monitor, which the server leaves to others. */
async function withMonitor(
  home: string,
  machine: Machine,
  work: (qmp: QmpClient, record: MachineRecord) => Promise<number>,
): Promise<number[]> {
  const record = await readRecord(home, machine.id);
  await using qmp = await QmpClient.open(
    await connectUnix(record.directory, "qmp.sock", DEADLINE),
    DEADLINE,
  );
  return [await work(qmp, record)];
}

async function copyAndSave(qmp: QmpClient, record: MachineRecord): Promise<number> {
  const { directory, pid, memoryBytes, inodes } = record;
  const path = join(directory, "bare.pages");
  await using pages = await open(path, "w");
  await using map = await open(`${path}.map`, "w");
  const copy = { pid, bytes: memoryBytes, inodes, pages, map };
  await using copier = await PageCopier.start(copy);
  await chmod(directory, 0o1770);
  const { ms } = await timed(async () => {
    await qmp.execute("stop", {});
    await Promise.all([saveDevices(qmp, DEADLINE), copier.finish(DEADLINE)]);
    await qmp.execute("cont", {});
  });
  await chmod(directory, 0o710);
  await copier.ended(DEADLINE);
  for (const file of [path, `${path}.map`, join(directory, "devices.saving")]) await rm(file);
  return ms;
}

async function saveInside(qmp: QmpClient): Promise<number> {
  const command = async (line: string) => {
    const answer = await qmp.execute("human-monitor-command", { "command-line": line }, DEADLINE);
    if (answer.trim() !== "") throw new Error(`QEMU: ${answer}`);
  };
  const { ms } = await timed(() => command("savevm bench"));
  await command("delvm bench");
  return ms;
}

async function migrateToFile(qmp: QmpClient, { directory }: MachineRecord): Promise<number> {
  const path = join(directory, "migrated");
  const socket = join(directory, "migrate.sock");
  const server = createServer().listen(socket);
  await once(server, "listening");
  await chmod(socket, 0o777);
  const file = await open(path, "w");
  const arrived = once(server, "connection").then(([stream]: NodeJS.ReadableStream[]) =>
    stream === undefined ? undefined : pipeline(stream, file.createWriteStream()),
  );
  const { ms } = await timed(async () => {
    await qmp.execute("stop", {});
    await qmp.execute("migrate", { uri: "unix:migrate.sock" });
    await arrived;
    await until(async () => (await qmp.execute("query-migrate", {})).status === "completed");
    await qmp.execute("cont", {});
  });
  server.close();
  await rm(path);
  return ms;
}
