import { expect, inject, test } from "vitest";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer } from "./support/server.js";
import { soak } from "./support/soak.js";

/** A short run, unless `npm run soak` asks for more. */
const CYCLES = Number(process.env["NULLSPACE_SOAK_CYCLES"] ?? 8);
const CYCLE_MS = 60_000;

function note(text: string): void {
  console.log(text);
}

test(
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
