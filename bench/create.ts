import type { NetworkOptions } from "@nullspace/sdk";
import type { Bench } from "./bench.ts";
import { BareQemu } from "./bare-qemu.ts";
import { timed } from "./clock.ts";
import { interleave, side } from "./interleave.ts";
import type { Findings, Measurement } from "./measurement.ts";
import { retrying } from "./retry.ts";
import { summarise } from "./statistics.ts";

const LIMIT = 1.25;

/** A machine from nothing to the first answer of its guest. */
export const create: Measurement = {
  name: "create",
  async run(bench: Bench): Promise<Findings> {
    const { snapshot, quick, signal, note } = bench;
    await using server = await bench.startServer();
    const { machines } = server.client;
    const viaServer = (network: NetworkOptions) => {
      const answering = async () => {
        const machine = await machines.create({ network, signal });
        await machine.commands.list();
        return machine;
      };
      return side(async () => {
        const { ms, value: machine } = await retrying(() => timed(answering), note);
        await machine.kill();
        return [ms];
      });
    };
    const unconnected = viaServer({ egress: "denyAll" });
    const connected = viaServer({ egress: "allowAll" });
    const bare = side(async () => {
      const { ms, value: qemu } = await timed(() => BareQemu.restore(snapshot));
      await qemu[Symbol.asyncDispose]();
      return [ms];
    });
    const sides = [unconnected, bare, connected];
    await interleave(sides, { rounds: quick ? 5 : 15, warmUps: 2, signal });
    const samples = {
      create_ms: { ...summarise(unconnected.samples), unit: "ms" } as const,
      create_connected_ms: { ...summarise(connected.samples), unit: "ms" } as const,
      bare_restore_ms: { ...summarise(bare.samples), unit: "ms" } as const,
    };
    return {
      about: ABOUT,
      ratios: {
        create_vs_bare: {
          value: samples.create_ms.median / samples.bare_restore_ms.median,
          limit: LIMIT,
          of: "machines.create and commands.list, no network / bare QEMU's restore and System.Ping",
        },
        create_connected_vs_bare: {
          value: samples.create_connected_ms.median / samples.bare_restore_ms.median,
          limit: LIMIT,
          of: "the same with egress allowAll / bare QEMU, which has no network",
        },
      },
      samples,
    };
  },
};

const ABOUT =
  "From the call of machines.create, without a warm pool, to the guest's answer to commands.list, the least there is to ask a guest: " +
  "server, confinement, adoption and records included, with server, client and their connection " +
  "warm. Without a network (denyAll), and with one and everything allowed, which is the default. Against one QEMU of the same command line and snapshot files, from making its folder to " +
  "the guest's answer to System.Ping on its socket: no server, confinement, adoption or network.";
