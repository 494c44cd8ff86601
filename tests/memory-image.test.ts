import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Machine, SnapshotInfo } from "@nullspace/sdk";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { dumpMemory, layersOf, memoryOf, memoryUse } from "./support/memory-image.js";
import { Monitor } from "./support/monitor.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";
import { openSwap, reclaim } from "./support/swap.js";
import { until } from "./support/until.js";

const MIB = 1024 * 1024;

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

/** What makes pages differ in every way: written, zeroed, freed, given back to the kernel. */
const CHURN = [
  "head -c 30000000 /dev/urandom > /dev/shm/random",
  "head -c 20000000 /dev/zero > /dev/shm/zero",
  "python3 -c 'b = bytearray(50_000_000); del b'",
  "rm -f /dev/shm/random2; head -c 5000000 /dev/urandom > /dev/shm/random2; rm /dev/shm/random2",
  "sudo sysctl -q vm.drop_caches=3",
].join("; ");

/** Keeps something in memory that must be the same in every later generation. */
const KEEP = "head -c 8000000 /dev/urandom > /dev/shm/kept; sha256sum /dev/shm/kept > /dev/shm/sum";
const KEPT = "sha256sum -c /dev/shm/sum";

interface Compared {
  snapshot: SnapshotInfo;
  /** Of the guest's memory, when it was captured. */
  dump: Buffer;
}

/**
 * Dumps the memory of a guest, captures it, and compares. The guest stands still from before
 * the dump until it has been captured.
 *
 * @param between - changes where the pages are, not what is in them.
 */
async function captureAndCompare(
  { home, client }: TestServer,
  machine: Machine,
  between: () => Promise<void> = async () => undefined,
): Promise<Compared> {
  // The first capture of a machine asks its agent, which cannot answer while it stands still.
  await client.snapshots.delete((await machine.createSnapshot()).id);
  {
    await using monitor = await Monitor.open(home, machine.id);
    await monitor.execute("stop");
  }
  const dump = await dumpMemory(home, machine.id);
  await between();
  const snapshot = await machine.createSnapshot();
  const image = await memoryOf(home, snapshot.id);
  expect(image.length).toBe(dump.length);
  expect(image.equals(dump)).toBe(true);
  return { snapshot, dump };
}

/** What goes on from a snapshot, in place of the machine that it is of. */
async function goOn(
  { client }: TestServer,
  machine: Machine,
  { snapshot }: Compared,
): Promise<Machine> {
  const child = await client.machines.create({ snapshotId: snapshot.id, timeoutSeconds: 0 });
  await machine.kill();
  return child;
}

test("an image of changed pages is a full dump, byte for byte, to the third generation", async () => {
  let machine = await server.client.machines.create({ timeoutSeconds: 0 });
  for (let generation = 1; generation <= 3; generation++) {
    await machine.commands.run(CHURN);
    const compared = await captureAndCompare(server, machine);
    expect(compared.snapshot.sizeBytes).toBeLessThan(compared.dump.length / 2);
    machine = await goOn(server, machine, compared);
  }
  await machine.kill();
});

describe("an image is a full dump, whatever became of the guest's pages", () => {
  test("a balloon takes them and gives them back", async () => {
    const { client, home } = server;
    let machine = await client.machines.create({ timeoutSeconds: 0 });
    const [template = ""] = (await layersOf(join(home, "machines", machine.id, "machine.json")))
      .memoryLayers;
    const templateMemory = join(home, "snapshots", template, "memory");
    const templateHash = await hashOf(templateMemory);
    const { memoryMb } = await client.machines.getInfo(machine.id);
    await machine.commands.run(`${KEEP}; ${CHURN}; rm /dev/shm/random /dev/shm/zero`);
    const used: number[] = [];
    for (const share of [0.4, 1]) {
      used.push((await memoryUse(home, machine.id)).privateMib);
      await setBalloon(home, machine.id, Math.floor(memoryMb * share) * MIB);
      used.push((await memoryUse(home, machine.id)).privateMib);
      // With a balloon inside, and then in what it has given back.
      await machine.commands.run("head -c 20000000 /dev/urandom > /dev/shm/more");
      machine = await goOn(server, machine, await captureAndCompare(server, machine));
      expect((await machine.commands.run(KEPT)).exitCode).toBe(0);
    }
    // What it takes goes back to this computer, and only that of this machine.
    const [before = 0, inflated = 0] = used;
    expect(inflated).toBeLessThan(before - 30);
    expect(await hashOf(templateMemory)).toBe(templateHash);
    await machine.kill();
  });

  test("this computer swaps them out", async (context) => {
    const { client, home } = server;
    await using _ = await openSwap(256).catch((error: unknown) =>
      context.skip(`this computer lets us have no swap: ${String(error)}`),
    );
    const machine = await client.machines.create({ timeoutSeconds: 0 });
    await machine.commands.run(`${KEEP}; ${CHURN}`);
    const compared = await captureAndCompare(server, machine, async () => {
      const { pid } = await memoryUse(home, machine.id);
      await until("the guest's memory is swapped out", async () => {
        await reclaim(pid, 300 * MIB);
        return (await memoryUse(home, machine.id)).swapMib > 30;
      });
    });
    const next = await goOn(server, machine, compared);
    expect((await next.commands.run(KEPT)).exitCode).toBe(0);
    await next.kill();
  });

  test("they are in huge pages, which are never merged with those of others", async (context) => {
    const home = await mkdtemp(join(tmpdir(), "nullspace-huge-"));
    await using cleaning = new AsyncDisposableStack();
    cleaning.defer(() => rm(home, { recursive: true }));
    try {
      const options = "size=3g,huge=always,mode=755";
      execFileSync("mount", ["-t", "tmpfs", "-o", options, "nullspace", home], { stdio: "pipe" });
    } catch (error) {
      context.skip(`this computer lets us have no huge pages: ${String(error)}`);
    }
    cleaning.defer(() => void execFileSync("umount", [home]));
    const prepared = inject("preparedHome");
    await symlink(join(prepared, "images"), join(home, "images"));
    execFileSync("cp", ["-a", "--sparse=always", join(prepared, "snapshots"), home]);
    await using huge = await startServer({ home });
    let machine = await huge.client.machines.create({ timeoutSeconds: 0 });
    for (let generation = 1; generation <= 2; generation++) {
      await machine.commands.run(generation === 1 ? KEEP : CHURN);
      const { hugeAllowed, hugeMib, mergeable } = await memoryUse(home, machine.id);
      expect(hugeAllowed).toBe(true);
      // By how long a write takes, one machine could tell what another has in a page of both.
      expect(mergeable).toBe(false);
      // Those that the guest did not write, beside single pages that it did.
      expect(hugeMib).toBeGreaterThan(2);
      machine = await goOn(huge, machine, await captureAndCompare(huge, machine));
      expect((await machine.commands.run(KEPT)).exitCode).toBe(0);
    }
    await machine.kill();
  });
});

/** Asks the guest for all of its memory but this much, and waits until it has given it. */
async function setBalloon(home: string, machineId: string, bytes: number): Promise<void> {
  await using monitor = await Monitor.open(home, machineId);
  await monitor.execute("balloon", { value: bytes });
  await until("the balloon has its size", async () => {
    return Reflect.get(Object(await monitor.execute("query-balloon")), "actual") === bytes;
  });
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
