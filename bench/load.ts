import type { Machine } from "@nullspace/sdk";
import { AgentMemory } from "./agent-memory.ts";
import type { Bench } from "./bench.ts";
import type { Findings, Measurement } from "./measurement.ts";
import { retrying } from "./retry.ts";
import { type Trend, summarise, trendOf } from "./statistics.ts";

const MIB = 1024 * 1024;
/** While the first rounds run, the agent's heap grows to the size that it works with. */
const WARM_UPS = 4;
/** Commands in a round, in groups that run at once. */
const COMMANDS = 30;
const AT_ONCE = 10;
const KEYS = 20;
const FILE = new Uint8Array(4 * MIB);
const FILES = 20;

/** Whether the agent's memory grows under a load of everything. */
export const load: Measurement = {
  name: "load",
  async run(bench: Bench): Promise<Findings> {
    const { quick, full, signal, note } = bench;
    const rounds = quick ? 6 : full ? 200 : 24;
    await using server = await bench.startServer();
    await using machine = await retrying(() => server.client.machines.create({ signal }), note);
    const agent = await AgentMemory.open(machine);
    const idle = await agent.current();
    const sizes: number[] = [];
    for (let round = -WARM_UPS; round < rounds; round++) {
      signal.throwIfAborted();
      await mixedLoad(machine);
      const size = await agent.current();
      note(`the agent has ${(size / MIB).toFixed(1)} MiB`);
      if (round >= 0) sizes.push(size / MIB);
    }
    const trend = trendOf(sizes.map((size, round) => [round, size]));
    return {
      about: about(rounds),
      figures: {
        agent_idle_mib: {
          value: idle / MIB,
          unit: "MiB",
          what: "resident memory of an idle agent",
        },
        agent_loaded_mib: {
          value: summarise(sizes).median,
          unit: "MiB",
          what: "the same after a round of mixed load, median",
        },
        agent_growth_kib: {
          value: trend.slope * 1024,
          unit: "KiB",
          what: `growth of a round, ± ${(trend.error * 1024).toFixed(0)}: ${verdict(trend)}`,
        },
      },
      samples: { agent_mib: { ...summarise(sizes), unit: "MiB" } },
    };
  },
};

function about(rounds: number): string {
  return (
    `${rounds} rounds, each of ${COMMANDS} commands, ${AT_ONCE} at once, a terminal with ${KEYS} keys, ` +
    `a background process that floods and is killed, a file of ${FILE.length / MIB} MiB there and back, ` +
    `${FILES} small files and their list. The resident memory of the agent as the guest's kernel tells it ` +
    "after each, and the line of least squares through it."
  );
}

/** Two standard errors are what chance gives one time in twenty. */
function verdict({ slope, error }: Trend): string {
  return slope > 2 * error ? "a trend" : "no trend";
}

async function mixedLoad(machine: Machine): Promise<void> {
  const { commands, files } = machine;
  for (let count = 0; count < COMMANDS; count += AT_ONCE) {
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        (await commands.run("seq 1000 | wc -l", { stdin: "unused" })).orThrow();
      }),
    );
  }
  await typeKeys(machine);
  const flood = await commands.run("yes", { background: true });
  for await (const { offset } of flood) if (offset > MIB) break;
  await flood.kill();
  await files.write("load/file", FILE);
  const content = await files.read("load/file", { format: "bytes" });
  if (content.length !== FILE.length) throw new Error("the file came back cut");
  const small = Array.from({ length: FILES }, (_, index) => ({
    path: `load/small-${index}`,
    content: `content of ${index}`,
  }));
  await files.writeFiles(small);
  if ((await files.list("load")).length !== FILES + 1) throw new Error("files are missing");
  await files.remove("load", { recursive: true });
}

async function typeKeys(machine: Machine): Promise<void> {
  await using session = await machine.pty.create({ command: "cat" });
  const output = session[Symbol.asyncIterator]();
  for (let key = 0; key < KEYS; key++) {
    await Promise.all([session.sendInput("x"), output.next()]);
  }
  await session.kill();
  await output.return?.();
}
