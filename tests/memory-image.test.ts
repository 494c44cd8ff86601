import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { dumpMemory, memoryOf } from "./support/memory-image.js";
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

/** Stops a guest by its second monitor, as an operator could. */
async function stopGuest(machineId: string): Promise<void> {
  const monitor = connect(join(server.home, "machines", machineId, "qmp.sock"));
  const lines = createInterface({ input: monitor });
  monitor.write('{"execute":"qmp_capabilities"}\n{"execute":"stop"}\n');
  for await (const line of lines) if (line.includes('"STOP"')) break;
  const closed = once(monitor, "close");
  monitor.destroy();
  await closed;
}

/** What makes pages differ in every way: written, zeroed, freed, swapped out, ballooned. */
const CHURN = [
  "head -c 30000000 /dev/urandom > /dev/shm/random",
  "head -c 20000000 /dev/zero > /dev/shm/zero",
  "python3 -c 'b = bytearray(50_000_000); del b'",
  "rm -f /dev/shm/random2; head -c 5000000 /dev/urandom > /dev/shm/random2; rm /dev/shm/random2",
  "sudo sysctl -q vm.drop_caches=3",
].join("; ");

test("an image of changed pages is a full dump, byte for byte, to the third generation", async () => {
  const { machines } = server.client;
  let machine = await machines.create({ timeoutSeconds: 0 });
  for (let generation = 1; generation <= 3; generation++) {
    await machine.commands.run(CHURN);
    await stopGuest(machine.id);
    const dump = await dumpMemory(server.home, machine.id);
    // The guest stands still from before the dump until the snapshot has been taken.
    const snapshot = await machine.createSnapshot({ name: randomUUID() });
    const image = await memoryOf(server.home, snapshot.id);
    expect(image.length).toBe(dump.length);
    expect(image.equals(dump)).toBe(true);
    expect(snapshot.sizeBytes).toBeLessThan(dump.length / 2);
    const child = await machines.create({ snapshotId: snapshot.id, timeoutSeconds: 0 });
    await machine.kill();
    machine = child;
  }
  await machine.kill();
});
