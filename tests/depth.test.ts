import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Machine } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { expectNothingLeft } from "./support/leaks.js";
import { layersOf } from "./support/memory-image.js";
import { Monitor } from "./support/monitor.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

const DEPTH = 20;
/** Those that a snapshot may have before it is flattened, and those that come while that is done. */
const MOST_LAYERS = 8 + 6;
const PAGE = 4096;

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

/** Adds files on disk and in memory, and writes over one that all generations have. */
function write(generation: number): string {
  const files = [`/workspace/only-${generation}`, `/dev/shm/only-${generation}`];
  return [
    ...files.map((file) => `head -c 300000 /dev/urandom > ${file}`),
    `sha256sum ${files.join(" ")} >> /workspace/sums`,
    `dd if=/dev/urandom of=/workspace/shared bs=64k seek=${generation} count=2 conv=notrunc`,
    "sha256sum /workspace/shared > /workspace/shared.sum",
    "sync",
  ].join(" && ");
}

/** How many checksums hold, from the disk itself and not from the guest's memory of it. */
async function sound(machine: Machine): Promise<number> {
  const check = "sha256sum -c /workspace/sums /workspace/shared.sum | grep -c OK$";
  const { stdout } = await machine.commands.run(`sudo sysctl -q vm.drop_caches=3; ${check}`);
  return Number(stdout.trim());
}

/** How many layers a running machine has, and how many pages its capture wrote. */
async function workOf(machine: Machine): Promise<{ layers: number; pages: number }> {
  const path = join(server.home, "machines", machine.id, "machine.json");
  const { memoryLayers, diskLayers } = await layersOf(path);
  const captured = join(server.home, "snapshots", memoryLayers.at(-1) ?? "", "memory.pages");
  return {
    layers: Math.max(memoryLayers.length, diskLayers.length),
    pages: (await stat(captured)).size / PAGE,
  };
}

test("snapshots of snapshots and forks of forks, twenty deep, cost no more and lose nothing", async () => {
  const { machines, snapshots } = server.client;
  let machine = await machines.create({ timeoutSeconds: 0 });
  const ids = [machine.id];
  const kept = new Map<number, string>();
  const work: { layers: number; pages: number }[] = [];
  for (let generation = 1; generation <= DEPTH; generation++) {
    await machine.commands.run(write(generation));
    let next: Machine;
    if (generation % 2 === 0) next = await machine.fork({ timeoutSeconds: 0 });
    else {
      const { id } = await machine.createSnapshot();
      next = await machines.create({ snapshotId: id, timeoutSeconds: 0 });
      kept.set(generation, id);
    }
    await machine.kill();
    machine = next;
    ids.push(machine.id);
    work.push(await workOf(machine));
  }
  expect(await sound(machine)).toBe(2 * DEPTH + 1);
  const pages = work.map((one) => one.pages);
  expect(Math.max(...work.map(({ layers }) => layers))).toBeLessThanOrEqual(MOST_LAYERS);
  expect(Math.max(...pages.slice(-5))).toBeLessThan(1.5 * Math.max(...pages.slice(0, 5)));

  // One in the middle of the chain, which what came after lies over in part.
  const middle = 13;
  const id = kept.get(middle) ?? "";
  for (const [generation, other] of kept) if (generation !== middle) await snapshots.delete(other);
  await machine.kill();
  const copy = await machines.create({ snapshotId: id });
  expect(await sound(copy)).toBe(2 * middle + 1);
  await snapshots.delete(id);
  await copy.kill();
  await expectNothingLeft(server.home, [...ids, copy.id]);
});

test("a machine that is captured again and again runs over few disks, and goes on writing", async () => {
  const { machines, snapshots } = server.client;
  const machine = await machines.create({ timeoutSeconds: 0 });
  const depths: number[] = [];
  let last = "";
  for (let generation = 1; generation <= 2 * DEPTH; generation++) {
    if (generation % 2 === 1) await machine.commands.run(write(generation));
    const { id } = await machine.createSnapshot();
    if (last !== "") await snapshots.delete(last);
    last = id;
    await using monitor = await Monitor.open(server.home, machine.id);
    const nodes = JSON.stringify(await monitor.execute("query-named-block-nodes", { flat: true }));
    depths.push(nodes.match(/"node-name":"(disk|layer|flat)-\d+"/g)?.length ?? 0);
  }
  expect(depths.slice(0, 3)).toEqual([3, 4, 5]);
  expect(Math.max(...depths)).toBeLessThanOrEqual(MOST_LAYERS);
  expect(await sound(machine)).toBe(2 * DEPTH + 1);
  const copy = await machines.create({ snapshotId: last });
  expect(await sound(copy)).toBe(2 * DEPTH + 1);
  await copy.kill();
  await snapshots.delete(last);
  await machine.kill();
  await expectNothingLeft(server.home, [machine.id, copy.id]);
});
