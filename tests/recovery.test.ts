import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { expectNothingLeft, leftovers } from "./support/leaks.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";
import { until } from "./support/until.js";

let home: string;

beforeEach(async () => {
  home = await linkHome(inject("preparedHome"));
});

afterEach(async () => {
  await removeHome(home);
});

/** Pid of a machine's QEMU. */
async function vmPid(id: string): Promise<number> {
  const record: unknown = JSON.parse(
    await readFile(join(home, "machines", id, "machine.json"), "utf8"),
  );
  if (typeof record !== "object" || record === null) throw new Error("no machine.json");
  return Number(Reflect.get(record, "pid"));
}

test("a machine and its command outlive kill -9 of the server", async () => {
  const first = await startServer({ home });
  const machine = await first.client.machines.create({ timeoutSeconds: 0 });
  const counting = await machine.commands.run(
    'i=0; while true; do i=$((i+1)); echo "$i"; sleep 0.2; done',
    { background: true },
  );
  const pid = await vmPid(machine.id);
  await first.crash();

  await using second = await startServer({ home });
  expect((await second.client.machines.getInfo(machine.id)).state).toBe("running");
  expect(await vmPid(machine.id)).toBe(pid);

  const again = await second.client.machines.connect(machine.id);
  const attached = await again.commands.connect(counting.pid);
  let text = "";
  for await (const chunk of attached) {
    text += chunk.text;
    if (text.includes("\n30\n")) break;
  }
  const numbers = text.trimEnd().split("\n").map(Number);
  expect(numbers.slice(0, 30)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  await again.commands.kill(counting.pid);
});

test("a create cut off by kill -9 leaves no machine behind", async () => {
  const first = await startServer({ home });
  const creating = first.client.machines.create({ timeoutSeconds: 0 });
  const outcome = creating.then(
    () => "created",
    () => "failed",
  );
  await until("the machine has a folder", async () => {
    const { directories } = await leftovers(home);
    return directories.length > 0;
  });
  await first.crash();
  expect(await outcome).toBe("failed");

  await using second = await startServer({ home });
  const [id] = (await readIds(second)) satisfies string[];
  expect(id).toBeDefined();
  await until("it has failed", async () => {
    return (await second.client.machines.getInfo(id ?? "")).state === "failed";
  });
  await until("nothing is left of it", async () => {
    const { processes, directories } = await leftovers(home);
    return processes.length === 0 && directories.length === 0;
  });
});

async function readIds(server: TestServer): Promise<string[]> {
  const ids: string[] = [];
  for await (const machine of server.client.machines.list()) ids.push(machine.id);
  return ids;
}

test("a VM that dies is failed, with the tail of its console, and holds nothing", async () => {
  await using server = await startServer({ home });
  const { machines } = server.client;
  const machine = await machines.create();
  await machine.commands.run("echo last words | sudo tee /dev/ttyS0");
  process.kill(await vmPid(machine.id), "SIGKILL");
  const info = await until("it has failed", async () => {
    const now = await machines.getInfo(machine.id);
    return now.state === "failed" && now;
  });
  expect(info.failure).toContain("last words");
  await expect(machine.commands.run("true")).rejects.toMatchObject({ retryable: false });
  await until("its folder is gone", async () => (await leftovers(home)).directories.length === 0);
  await expectNothingLeft(home, [machine.id]);
});

test("a VM that dies while no server runs is failed at the next start", async () => {
  const first = await startServer({ home });
  const machine = await first.client.machines.create({ timeoutSeconds: 0 });
  const pid = await vmPid(machine.id);
  await first.crash();
  process.kill(pid, "SIGKILL");
  await using second = await startServer({ home });
  const { machines } = second.client;
  await until("it has failed", async () => (await machines.getInfo(machine.id)).state === "failed");
  expect((await machines.getInfo(machine.id)).failure).toContain("ended by itself");
});

test("a deadline that passes while no server runs is kept at the next start", async () => {
  const first = await startServer({ home });
  const machine = await first.client.machines.create({ timeoutSeconds: 3 });
  const { timeoutAt } = await first.client.machines.getInfo(machine.id);
  await first.crash();
  await until("the deadline has passed", async () => Date.now() > (timeoutAt?.getTime() ?? 0));
  await using second = await startServer({ home });
  await until("it is killed", async () => {
    return (await second.client.machines.getInfo(machine.id)).state === "killed";
  });
  expect(await readdir(join(home, "machines"))).toEqual([]);
});

test("the agent comes back after it is killed, and knows its machine", async () => {
  await using server = await startServer({ home });
  await using machine = await server.client.machines.create({ envs: { KEPT: "yes" } });
  await machine.commands.run("sudo pkill -KILL -f agent.mjs").catch(() => undefined);
  const result = await until("the agent answers", async () => {
    return await machine.commands.run('echo "$KEPT"').catch(() => undefined);
  });
  expect(result.stdout).toBe("yes\n");
});
