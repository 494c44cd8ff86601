import type { Bench } from "./bench.ts";
import { timed } from "./clock.ts";
import type { Findings, Measurement } from "./measurement.ts";
import { summarise } from "./statistics.ts";
import { NullspaceError } from "@nullspace/sdk";

/** A machine from the warm pool. */
export const warm: Measurement = {
  name: "warm",
  async run(bench: Bench): Promise<Findings> {
    const { quick, signal } = bench;
    await using server = await bench.startServer(["--warm-pool", "base=1"]);
    const { machines } = server.client;
    const created: number[] = [];
    const execed: number[] = [];
    const pinged: number[] = [];
    while (created.length < (quick ? 3 : 10)) {
      signal.throwIfAborted();
      const started = performance.now();
      const machine = await machines
        .create({ warmPool: "require", signal })
        .catch((error: unknown) => {
          // The next one is not there yet.
          if (error instanceof NullspaceError && error.reason === "WARM_POOL_EMPTY") return null;
          throw error;
        });
      if (machine === null) continue;
      created.push(performance.now() - started);
      await machine.commands.run("true", { args: [] });
      execed.push(performance.now() - started);
      for (let count = 0; count < 10; count++) {
        pinged.push((await timed(() => machine.commands.list())).ms);
      }
      await machine.kill();
    }
    return {
      about:
        "From the call of create, with warmPool require, to the machine, and to the end of its first command `true`; and the least call there is to a running machine.",
      figures: {
        warm_create_ms: {
          value: summarise(created).median,
          unit: "ms",
          what: "create from the warm pool",
        },
        warm_create_exec_ms: {
          value: summarise(execed).median,
          unit: "ms",
          what: "the same to the end of the first command",
        },
        plain_call_ms: {
          value: summarise(pinged).median,
          unit: "ms",
          what: "commands.list of a running machine",
        },
      },
      samples: {
        warm_create: { ...summarise(created), unit: "ms" },
        warm_create_exec: { ...summarise(execed), unit: "ms" },
        plain_call: { ...summarise(pinged), unit: "ms" },
      },
    };
  },
};
