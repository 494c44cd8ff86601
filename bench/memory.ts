import type { Bench } from "./bench.ts";
import type { BenchServer, ServerMemory } from "./bench-server.ts";
import type { Figure, Findings, Measurement } from "./measurement.ts";
import { insertEndedMachines } from "./records.ts";
import { retrying } from "./retry.ts";
import { summarise, trendOf } from "./statistics.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** Machines whose records the server has in the end. */
const MACHINES = 200;
/** Machines between two looks at the memory. */
const STEP = 4;
/** Before the first look: what is loaded by the first machines is no growth. */
const WARM_UPS = 20;
/** Standard errors that a slope must be off zero to be a trend. */
const SIGNIFICANT = 3;

/** The server's memory, and whether it grows with the machines that were. */
export const memory: Measurement = {
  name: "memory",
  async run(bench: Bench): Promise<Findings> {
    const { home, snapshot, quick, full, signal, note } = bench;
    await using server = await bench.startServer();
    const { machines: service } = server.client;
    const createAndKill = async (count: number) => {
      for (let made = 0; made < count; made++) {
        const machine = await retrying(() => service.create({ signal }), note);
        await machine.kill();
      }
    };
    await createAndKill(WARM_UPS);
    const idle = await server.memory();
    const looks = [{ machines: 0, ...idle }];
    const real = quick ? 12 : full ? MACHINES : 40;
    for (let machines = STEP; machines <= real; machines += STEP) {
      await createAndKill(STEP);
      looks.push({ machines, ...(await server.memory()) });
    }
    await insertEndedMachines(home, snapshot.id, MACHINES - real);
    await listAll(server, signal);
    const after = await server.memory();
    const growth = (part: keyof ServerMemory, what: string) =>
      growthOf(
        looks.map((look) => [look.machines, look[part] / KIB]),
        what,
      );
    const values = (part: keyof ServerMemory) => looks.map((look) => look[part] / MIB);
    return {
      about: about(real),
      figures: {
        server_idle_rss: mib(idle.rss, "server at idle"),
        server_rss_after_200: mib(after.rss, `with ${MACHINES} machines' records, all listed`),
        server_idle_data: mib(idle.data, "of the server at idle: data of JavaScript"),
        server_data_after_200: mib(after.data, "the same with the records"),
        server_data_growth: growth("data", "data a machine"),
        server_code_growth: growth("code", "compiled code a machine: the engine warms up"),
        server_rss_growth: growth("rss", "all a machine, warming up included"),
      },
      samples: {
        server_rss: { ...summarise(values("rss")), unit: "MiB" },
        server_data: { ...summarise(values("data")), unit: "MiB" },
        server_code: { ...summarise(values("code")), unit: "MiB" },
      },
    };
  },
};

function mib(bytes: number, what: string): Figure {
  return { value: bytes / MIB, unit: "MiB", what };
}

function growthOf(points: readonly (readonly [x: number, y: number])[], what: string): Figure {
  const { slope, error } = trendOf(points);
  const verdict = slope > SIGNIFICANT * error ? "a trend" : "no trend";
  return { value: slope, unit: "KiB", what: `${what} (± ${error.toFixed(2)}, ${verdict})` };
}

function about(real: number): string {
  return (
    `Memory of the server's process, each time just after a garbage collection. Idle: after ` +
    `${WARM_UPS} machines that warm it up. Then ${real} machines created and killed, one after ` +
    `the other, with a look every ${STEP}: growth is the line of least squares through the looks, ` +
    `a trend when it is ${SIGNIFICANT} standard errors above zero. The records of the other ` +
    `${MACHINES - real} are written by the server's own store, and then all are listed.`
  );
}

/** As the console does, page by page. */
async function listAll(server: BenchServer, signal: AbortSignal): Promise<void> {
  let listed = 0;
  const { machines } = server.client;
  for await (const { state } of machines.list({ state: ["killed", "failed"], signal })) {
    if (state === "killed") listed++;
  }
  if (listed < MACHINES) throw new Error(`the server lists ${listed} machines of ${MACHINES}`);
}
