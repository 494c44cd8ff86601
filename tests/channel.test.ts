import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

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

test("a deadline of the client ends the call and its process in the guest", async () => {
  await using machine = await server.client.machines.create();
  await expect(
    machine.commands.run("exec sleep 5432", { requestTimeoutMs: 3_000 }),
  ).rejects.toMatchObject({ reason: "DEADLINE_EXCEEDED" });
  const left = await machine.commands.run("while pgrep -f 'sleep [5]432'; do sleep 0.1; done");
  expect(left.exitCode).toBe(0);
});
