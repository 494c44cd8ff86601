import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";
import { until } from "./support/until.js";

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

/** Writes down what time it is, again and again. */
const TELL_TIME = `python3 -uc '
import time
times = open("/dev/shm/times", "w", buffering=1)
while True:
    print(int(time.time() * 1000), file=times)
    time.sleep(0.002)
'`;

/** Tells the generation, and then again whenever the kernel says that somebody has written the file. */
const WATCH_GENERATION = `python3 -uc '
import ctypes, os
PATH = b"/run/nullspace/generation"
IN_MODIFY = 2
libc = ctypes.CDLL(None)
watch = libc.inotify_init()
assert libc.inotify_add_watch(watch, PATH, IN_MODIFY) >= 0
while True:
    print(open(PATH).read().strip())
    os.read(watch, 4096)
'`;

/** How far the clocks of guest and host may be apart. */
const SKEW_MS = 150;

test("a woken machine's clock goes to the right time at once, and its processes see none between", async () => {
  const { machines } = server.client;
  const machine = await machines.create({ timeoutSeconds: 0 });
  await machine.commands.run(TELL_TIME, { background: true });
  await machine.commands.run("until [ -s /dev/shm/times ]; do sleep 0.1; done");
  const { id } = await machine.pause();
  const asleep = Date.now();
  await until("the machine has stood still for a while", async () => Date.now() > asleep + 2000);
  const woken = Date.now();
  const resumed = await machines.resume(id);
  expect(Math.abs(resumed.receipt?.clockSkewMs ?? Infinity)).toBeLessThan(SKEW_MS);
  await resumed.commands.run(
    `until [ "$(tail -n 1 /dev/shm/times)" -gt ${woken} ]; do sleep 0.1; done; pkill python3`,
  );
  const times = (await resumed.files.read("/dev/shm/times")).trim().split("\n").map(Number);
  expect(times.filter((time) => time > asleep + SKEW_MS && time < woken - SKEW_MS)).toEqual([]);
  expect(times.at(-1)).toBeGreaterThan(woken);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  await resumed.kill();
});

test("each generation tells the processes that came along that it is another", async () => {
  const { machines } = server.client;
  let machine = await machines.create({ timeoutSeconds: 0 });
  const watching = await machine.commands.run(WATCH_GENERATION, { background: true });
  for (let generation = 1; generation <= 3; generation++) {
    const told = await until("it is told", async () => {
      const { stdout } = await machine.commands.getLogs(watching.pid);
      const lines = [...new Set(stdout.match(/\d+/g))].map(Number);
      return lines.length >= generation && lines;
    });
    expect(told).toEqual([1, 2, 3].slice(0, generation));
    const child = await machine.fork({ timeoutSeconds: 0 });
    await machine.kill();
    machine = child;
  }
  await machine.kill();
});
