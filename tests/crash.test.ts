import { afterEach, beforeEach, describe, expect, inject, test } from "vitest";
import { expectNothingLeft, leftovers } from "./support/leaks.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer } from "./support/server.js";
import { until } from "./support/until.js";

let home: string;

beforeEach(async () => {
  home = await linkHome(inject("preparedHome"));
});

afterEach(async () => {
  await removeHome(home);
});

/** The steps of a capture, in order; see fault-point.ts of the server. */
const STEPS = [
  "capture-prepared",
  "capture-precopied",
  "capture-stopped",
  "capture-copied",
  "capture-sealed",
  "capture-going-on",
  "capture-moved",
  "capture-written",
  "capture-published",
];

/** Counts in memory and into a file that it flushes; a gap or a repetition would show. */
const COUNT = `python3 -uc '
import os, time
f = open("/workspace/count", "a")
i = 0
while True:
    i += 1
    f.write(f"{i}\\n"); f.flush(); os.fsync(f.fileno())
    time.sleep(0.05)
'`;

/** How far it has counted, and how many lines are not what they should be. */
const CHECK = `until [ -s /workspace/count ]; do sleep 0.1; done; awk 'NR != $1 { bad++ } END { print NR, bad + 0 }' /workspace/count`;

describe("kill -9 of the server in the middle of a capture", () => {
  test("the machine goes on, nothing half is seen, and the next capture works", async () => {
    let server = await startServer({ home });
    const { id } = await server.client.machines.create({ timeoutSeconds: 0 });
    const counting = await (
      await server.client.machines.connect(id)
    ).commands.run(COUNT, {
      background: true,
    });
    let counted = 0;
    for (const step of STEPS) {
      await server.stop();
      server = await startServer({ home, env: { NULLSPACE_FAULT_POINT: step } });
      const machine = await server.client.machines.connect(id);
      await expect(machine.createSnapshot({ name: step })).rejects.toMatchObject({
        retryable: true,
      });
      await server.stop("SIGKILL");

      server = await startServer({ home });
      const { machines, snapshots } = server.client;
      await until("the machine is as it was", async () => {
        return (await machines.getInfo(id)).state === "running";
      });
      const again = await machines.connect(id);
      const [lines, bad] = (await again.commands.run(CHECK)).stdout.split(" ").map(Number);
      expect([step, bad]).toEqual([step, 0]);
      expect(lines).toBeGreaterThan(counted);
      counted = lines ?? 0;
      // One that was whole when the server died may be there; a half one may not.
      for await (const { name } of snapshots.list()) expect(name).toBe("capture-published");
    }
    // What all of that left can be saved once more, and started from.
    const machine = await server.client.machines.connect(id);
    const snapshot = await machine.createSnapshot({ name: "last" });
    const child = await server.client.machines.create({ snapshotId: snapshot.id });
    expect((await child.commands.run(CHECK)).stdout).toMatch(/ 0\n$/);
    await child.kill();
    await machine.commands.kill(counting.pid);
    await server[Symbol.asyncDispose]();
  });

  test.each(["capture-copied", "capture-moved", "capture-published"])(
    "at %s of a pause: the machine runs or is cleanly paused",
    async (step) => {
      const first = await startServer({ home, env: { NULLSPACE_FAULT_POINT: step } });
      const machine = await first.client.machines.create({ timeoutSeconds: 0 });
      await machine.commands.run(COUNT, { background: true });
      await machine.commands.run(CHECK);
      await expect(machine.pause()).rejects.toMatchObject({ retryable: true });
      await first.stop("SIGKILL");

      await using server = await startServer({ home });
      const { machines } = server.client;
      await until("the pause is finished or taken back", async () => {
        const { state } = await machines.getInfo(machine.id);
        return state === "running" || state === "paused";
      });
      const again = await machines.connect(machine.id);
      expect((await again.commands.run(CHECK)).stdout).toMatch(/ 0\n$/);
    },
  );
});

test("a full disk at each step of a capture leaves the machine as it was", async () => {
  for (const step of ["capture-copied", "capture-sealed", "capture-moved", "capture-written"]) {
    const env = { NULLSPACE_FAULT_POINT: `${step}:ENOSPC` };
    await using server = await startServer({ home, env });
    await using machine = await server.client.machines.create();
    await machine.commands.run(COUNT, { background: true });
    await machine.commands.run(CHECK);
    await expect(machine.createSnapshot()).rejects.toMatchObject({ reason: "DISK_FULL" });
    expect((await machine.commands.run(CHECK)).stdout).toMatch(/ 0\n$/);
    expect((await server.client.snapshots.list()).items).toEqual([]);
    await machine.kill();
    await expectNothingLeft(home, [machine.id]);
  }
});

test.each(["start-launched", "start-restored", "start-adopted"])(
  "kill -9 of the server at %s leaves no machine",
  async (step) => {
    const first = await startServer({ home, env: { NULLSPACE_FAULT_POINT: step } });
    await expect(first.client.machines.create()).rejects.toMatchObject({ retryable: true });
    await first.stop("SIGKILL");
    await using server = await startServer({ home });
    await until("nothing is left of it", async () => {
      const { processes, directories } = await leftovers(home);
      return processes.length === 0 && directories.length === 0;
    });
    expect((await server.client.machines.list({ state: ["running"] })).items).toEqual([]);
  },
);
