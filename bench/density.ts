import { setTimeout as delay } from "node:timers/promises";
import type { Bench } from "./bench.ts";
import { diskUse, privateMemory, readRecord } from "./machine-files.ts";
import type { Findings, Measurement } from "./measurement.ts";
import { summarise } from "./statistics.ts";

const SETTLE_MS = 10_000;

/** What idle forks of one machine take. */
export const density: Measurement = {
  name: "density",
  async run(bench: Bench): Promise<Findings> {
    const { quick, signal, home } = bench;
    const count = quick ? 6 : 30;
    await using server = await bench.startServer();
    await using parent = await server.client.machines.create({ memoryMb: 512, signal });
    const forked = await parent.fork({ count, signal });
    const results = Array.isArray(forked) ? forked : [];
    const ids = results.flatMap(({ machine }) => (machine === undefined ? [] : [machine.id]));
    await delay(SETTLE_MS, undefined, { signal });
    const records = await Promise.all(ids.map((id) => readRecord(home, id)));
    const memory = await Promise.all(records.map((record) => privateMemory(record)));
    const disk = await Promise.all(records.map((record) => diskUse(record)));
    const samples = {
      fork_private: { ...summarise(memory.map(({ guest }) => guest)), unit: "MiB" } as const,
      fork_qemu: { ...summarise(memory.map(({ qemu }) => qemu)), unit: "MiB" } as const,
      fork_disk: { ...summarise(disk), unit: "MiB" } as const,
    };
    return {
      about: `${ids.length} idle forks of one machine of 512 MiB, ten seconds after the last of them was there: memory that is a guest's alone, what its QEMU has besides, and disk.`,
      figures: {
        fork_private_mib: {
          value: samples.fork_private.median,
          unit: "MiB",
          what: "memory of its own that an idle fork's guest has; at most 6",
        },
        fork_qemu_mib: {
          value: samples.fork_qemu.median,
          unit: "MiB",
          what: "what its QEMU has besides, under emulation mostly translated code",
        },
        fork_disk_mib: {
          value: samples.fork_disk.median,
          unit: "MiB",
          what: "disk of an idle fork; at most 1",
        },
      },
      samples,
    };
  },
};
