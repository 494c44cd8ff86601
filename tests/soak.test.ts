import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Machine } from "@nullspace/sdk";
import { PeakMemory } from "./support/peak-memory.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";
import { soak } from "./support/soak.js";
import { runQuickCommands, whatIsHeld } from "./support/soak-commands.js";
import { soakTransfer, type TransferSoak } from "./support/soak-transfer.js";

/** Short runs, unless `npm run soak` asks for more. */
const CYCLES = Number(process.env["NULLSPACE_SOAK_CYCLES"] ?? 8);
const COMMANDS = Number(process.env["NULLSPACE_SOAK_COMMANDS"] ?? 80);
const TRANSFER_MB = Number(process.env["NULLSPACE_SOAK_TRANSFER_MB"] ?? 30);
const CYCLE_MS = 60_000;
const COMMAND_MS = 1000;
const MB_MS = 5000;

function note(text: string): void {
  console.log(text);
}

test.runIf(CYCLES > 0)(
  "a machine under load goes through pauses, snapshots and forks and loses nothing",
  async () => {
    const home = await linkHome(inject("preparedHome"));
    {
      await using server = await startServer({ home });
      const { losses, leaks } = await soak(server.client, home, CYCLES, note);
      note(`${CYCLES} cycles, ${losses.length} losses, ${leaks.length} leaks`);
      expect({ losses, leaks }).toEqual({ losses: [], leaks: [] });
    }
    await removeHome(home);
  },
  CYCLE_MS * CYCLES,
);

describe("in one machine", () => {
  let server: TestServer;
  let machine: Machine;
  beforeAll(async () => {
    server = await startServer({ home: await linkHome(inject("preparedHome")) });
    const diskMb = Math.max(2048, TRANSFER_MB + 2048);
    machine = await server.client.machines.create({ diskMb, timeoutSeconds: 0 });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await removeHome(server.home);
  });

  test(
    "quick commands leave nothing behind",
    async () => {
      // What is made once and kept is there after some.
      await runQuickCommands(machine, Math.min(COMMANDS, 500) / 2);
      const before = await whatIsHeld(server, machine);
      await runQuickCommands(machine, COMMANDS);
      const after = await whatIsHeld(server, machine);
      note(`${COMMANDS} commands: ${JSON.stringify({ before, after })}`);
      expect(after.server - before.server).toBeLessThan(4);
      expect(after.guestDescriptors - before.guestDescriptors).toBeLessThan(4);
      expect(after.guestProcesses - before.guestProcesses).toBeLessThan(4);
      expect(after.guestMemoryMb - before.guestMemoryMb).toBeLessThan(64);
    },
    60_000 + COMMANDS * COMMAND_MS,
  );

  test(
    "a large file goes up and down, and nobody's memory grows with it",
    async () => {
      const memory = await PeakMemory.open(server, machine);
      const { upload, download } = await soakTransfer(machine, memory, TRANSFER_MB);
      note(`${TRANSFER_MB} MB: ${JSON.stringify({ upload, download })}`);
      expect({ upload: growth(upload), download: growth(download) }).toEqual({
        upload: [],
        download: [],
      });
    },
    120_000 + TRANSFER_MB * MB_MS,
  );
});

/** Who has taken more at the end than at the beginning, but for what a garbage collector leaves for later. */
function growth({ first, last }: TransferSoak): string[] {
  const names = ["client", "server", "agent"] as const;
  return names
    .filter((name) => last[name] - first[name] > 64)
    .map((name) => `${name}: ${first[name]} to ${last[name]} MiB`);
}
