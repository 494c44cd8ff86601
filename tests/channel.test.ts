import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { PeakMemory } from "./support/peak-memory.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

const MIB = 1 << 20;
/** Far more than anybody may keep of it. */
const FLOOD_BYTES = 128 * MIB;
/** The garbage collector of each party takes its time to know how much it needs. */
const MOST_GROWTH_MIB = 48;

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

/** Resident memory of the server, in MiB. */
async function serverMemory(): Promise<number> {
  const status = await readFile(`/proc/${server.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

test("a reader that stops, stops the process, and no memory grows", async () => {
  await using machine = await server.client.machines.create();
  const before = await serverMemory();
  const flood = await machine.commands.run("yes 0123456789abcdef", { background: true });
  const reader = flood[Symbol.asyncIterator]();
  expect((await reader.next()).done).toBe(false);
  // The stream is open and nobody reads on. The process can fill the pipes and
  // windows on the way, and then has to wait.
  const produced = async () => {
    const list = await machine.commands.list();
    return list.find((process) => process.pid === flood.pid)?.outputBytes ?? 0;
  };
  let last = -1;
  let now = await produced();
  while (now !== last) {
    last = now;
    await machine.commands.run("sleep 2");
    now = await produced();
  }
  expect(now).toBeLessThan(32 << 20);
  expect((await serverMemory()) - before).toBeLessThan(64);

  // Reading lets it go on.
  let seen = 0;
  while (seen < now + (4 << 20)) {
    const { value } = await reader.next();
    seen += value?.data.length ?? 0;
  }
  expect(await produced()).toBeGreaterThan(now);
  await flood.kill();
  await reader.return?.();
});

test("a flood from the guest does not keep other calls of it from an answer", async () => {
  await using machine = await server.client.machines.create();
  const flood = await machine.commands.run("yes", { background: true });
  const reading = (async () => {
    for await (const _ of flood);
  })();
  for (let i = 0; i < 5; i++) {
    expect((await machine.commands.run(`echo ${i}`)).stdout).toBe(`${i}\n`);
  }
  await flood.kill();
  await reading;
});

test("a flood grows nobody's memory, whether somebody reads it or nobody does", async () => {
  await using machine = await server.client.machines.create();
  const memory = await PeakMemory.open(server, machine);
  const flood = async (isRead: boolean) => {
    const process = await machine.commands.run("cat /dev/zero", { background: true });
    const produced = () => machine.commands.list().then(([newest]) => newest?.outputBytes ?? 0);
    if (isRead) {
      for await (const { offset } of process) if (offset > FLOOD_BYTES) break;
    } else {
      process.disconnect();
      while ((await produced()) < FLOOD_BYTES);
    }
    await process.kill();
  };
  // What is made once and kept is there afterwards.
  await flood(true);
  await flood(false);
  await memory.reset();
  const before = await memory.peaks();
  await flood(true);
  await flood(false);
  const after = await memory.peaks();
  console.log(`floods of ${FLOOD_BYTES / MIB} MiB: ${JSON.stringify({ before, after })}`);
  const parties = ["client", "server", "agent"] as const;
  expect(parties.filter((who) => after[who] - before[who] >= MOST_GROWTH_MIB)).toEqual([]);
});

test("a deadline of the client ends the call and its process in the guest", async () => {
  await using machine = await server.client.machines.create();
  await expect(
    machine.commands.run("exec sleep 5432", { requestTimeoutMs: 3_000 }),
  ).rejects.toMatchObject({ reason: "DEADLINE_EXCEEDED" });
  const left = await machine.commands.run("while pgrep -f 'sleep [5]432'; do sleep 0.1; done");
  expect(left.exitCode).toBe(0);
});
