import type { Bench } from "./bench.ts";
import { timed } from "./clock.ts";
import { interleave, side } from "./interleave.ts";
import type { Findings, Measurement } from "./measurement.ts";
import { retrying } from "./retry.ts";
import { summarise } from "./statistics.ts";

const SIZES_MB = [256, 512, 1024, 2048] as const;
const LIMIT = 1.5;

/** Whether forks of larger guests take longer, though no more has changed. */
export const growth: Measurement = {
  name: "growth",
  async run(bench: Bench): Promise<Findings> {
    const { quick, signal, note } = bench;
    await using server = await bench.startServer();
    const { machines } = server.client;
    const sizes = quick ? ([256, 1024] as const) : SIZES_MB;
    const sides = [];
    const samples: Findings["samples"] = {};
    for (const memoryMb of sizes) {
      note(`a machine of ${memoryMb} MiB: captures the template if need be`);
      const parent = await machines.create({ memoryMb, timeoutSeconds: 0, signal });
      await parent.commands.run("head -c 16000000 /dev/urandom > /dev/shm/changed");
      const forks = side(async () => {
        const { ms, value } = await retrying(() => timed(() => parent.fork()), note);
        await value.kill();
        return [ms];
      });
      sides.push({ memoryMb, forks });
    }
    const rounds = { rounds: quick ? 3 : 8, warmUps: 1, signal };
    await interleave(
      sides.map(({ forks }) => forks),
      rounds,
    );
    for (const { memoryMb, forks } of sides) {
      samples[`fork_of_${memoryMb}_ms`] = { ...summarise(forks.samples), unit: "ms" };
    }
    const medians = sides.map(({ forks }) => summarise(forks.samples).median);
    return {
      about: `Forks of machines of ${sizes.join(", ")} MiB, 16 MB changed in each, from the call to the child: on the file system of the home, whatever it can do.`,
      ratios: {
        fork_growth: {
          value: Math.max(...medians) / Math.min(...medians),
          limit: LIMIT,
          of: "the slowest size's fork / the fastest size's",
        },
      },
      samples,
    };
  },
};
