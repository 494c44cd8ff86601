import type { Machine } from "@nullspace/sdk";
import { BareQemu } from "./bare-qemu.ts";
import type { Bench } from "./bench.ts";
import { timed } from "./clock.ts";
import { programsOf } from "./direct-exec.ts";
import { interleave, side } from "./interleave.ts";
import type { Findings, Measurement } from "./measurement.ts";
import { retrying } from "./retry.ts";
import { SnapshotSource } from "./snapshot-source.ts";
import { summarise } from "./statistics.ts";

const LIMIT = 1.25;
const MEMORY_MB = 512;

/** From a running or a paused machine to the first command of what goes on from it. */
export const fork: Measurement = {
  name: "fork",
  async run(bench: Bench): Promise<Findings> {
    const { quick, signal, home, note } = bench;
    await using server = await bench.startServer();
    const { machines, snapshots } = server.client;
    const options = { memoryMb: MEMORY_MB, timeoutSeconds: 0, signal };
    await using parent = await machines.create(options);
    await parent.commands.run("head -c 16000000 /dev/urandom > /dev/shm/changed");
    const image = await parent.createSnapshot();
    const source = await SnapshotSource.open(home, image.id);
    const firstExec = async (machine: Machine) => {
      await machine.commands.run("true", { args: [] });
      return machine;
    };
    const forked = side(async () => {
      const { ms, value } = await retrying(
        () => timed(async () => firstExec(await parent.fork())),
        note,
      );
      await value.kill();
      return [ms];
    });
    const resumed = side(async () => {
      const paused = await machines.create({
        ...options,
        snapshotId: image.id,
        memoryMb: undefined,
      });
      const { id } = await paused.pause();
      const { ms, value } = await retrying(
        () => timed(async () => firstExec(await machines.resume(id))),
        note,
      );
      await value.kill();
      return [ms];
    });
    const bare = side(async () => {
      const { ms, value } = await timed(async () => {
        const qemu = await BareQemu.restore(source);
        await programsOf(qemu.session)("true", []);
        return qemu;
      });
      await value[Symbol.asyncDispose]();
      return [ms];
    });
    await interleave([forked, resumed, bare], { rounds: quick ? 4 : 12, warmUps: 1, signal });
    await snapshots.delete(image.id);
    const samples = {
      fork_ms: { ...summarise(forked.samples), unit: "ms" } as const,
      resume_ms: { ...summarise(resumed.samples), unit: "ms" } as const,
      bare_restore_exec_ms: { ...summarise(bare.samples), unit: "ms" } as const,
    };
    const { median } = samples.bare_restore_exec_ms;
    const of =
      "to the first command's end / bare QEMU's restore of the same image and the same command";
    return {
      about: ABOUT,
      ratios: {
        fork_vs_bare: { value: samples.fork_ms.median / median, limit: LIMIT, of: `fork ${of}` },
        resume_vs_bare: {
          value: samples.resume_ms.median / median,
          limit: LIMIT,
          of: `resume ${of}`,
        },
      },
      samples,
    };
  },
};

const ABOUT =
  "From the call of fork or resume to the end of the child's first command, the program `true`: of a fork with the " +
  "capture of its parent, of which 16 MB of 512 MiB have changed. Against one QEMU restored from a snapshot of " +
  "the same machine, without server, confinement, capture or adoption, to the end of the same command.";
