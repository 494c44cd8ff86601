import { randomBytes } from "node:crypto";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { CHANNEL_KEY_BYTES } from "@nullspace/proto/channel";
import { systemClient } from "@nullspace/server/internal";
import { BareQemu } from "./bare-qemu.ts";
import type { Bench } from "./bench.ts";
import { timed } from "./clock.ts";
import { programsOf, type Run } from "./direct-exec.ts";
import { interleave, side } from "./interleave.ts";
import type { Findings, Measurement } from "./measurement.ts";
import { retrying } from "./retry.ts";
import { summarise } from "./statistics.ts";

const LIMIT = 1.3;
/** The first ones in a new guest meet code that has not run there yet. */
const WARM_UPS = 5;

/** A command in a running machine. */
export const exec: Measurement = {
  name: "exec",
  async run(bench: Bench): Promise<Findings> {
    const { snapshot, quick, signal, note } = bench;
    const times = quick ? 10 : 25;
    await using server = await bench.startServer();
    const { machines } = server.client;
    const viaServer = side(async () => {
      await using machine = await retrying(() => machines.create({ signal }), note);
      return await sampleExecs(times, async (command, args) => {
        const { exitCode } = await machine.commands.run(command, { args });
        return exitCode;
      });
    });
    const direct = side(async () => {
      await using qemu = await BareQemu.restore(snapshot);
      return await sampleExecs(times, await directExec(qemu));
    });
    await interleave([viaServer, direct], { rounds: quick ? 2 : 4, warmUps: 0, signal });
    const samples = {
      exec_ms: { ...summarise(viaServer.samples), unit: "ms" } as const,
      direct_exec_ms: { ...summarise(direct.samples), unit: "ms" } as const,
    };
    return {
      about: ABOUT,
      ratios: {
        exec_overhead: {
          value: samples.exec_ms.median / samples.direct_exec_ms.median,
          limit: LIMIT,
          of: "commands.run / ProcessService.Start on the agent's socket",
        },
      },
      samples,
    };
  },
};

const ABOUT =
  "The program `true`, without a shell, from the call to its exit code. Through SDK, server and " +
  "agent, against ProcessService.Start asked of the agent's socket itself. In turn, each time in " +
  "a guest fresh from the same snapshot and adopted, the first few commands of each not counted. " +
  "The server holds the one connection to the socket of its own machines, so the direct side is a QEMU without one.";

async function sampleExecs(times: number, run: Run): Promise<number[]> {
  const samples: number[] = [];
  for (let count = -WARM_UPS; count < times; count++) {
    const { ms, value: exitCode } = await timed(() => run("true", []));
    if (exitCode !== 0) throw new Error(`true ended with ${exitCode}`);
    if (count >= 0) samples.push(ms);
  }
  return samples;
}

/** Makes the guest what the server makes of its machines, and gives a way to run programs in it. */
async function directExec({ session }: BareQemu): Promise<Run> {
  await systemClient(session).adopt({
    machineId: "bare",
    hostname: "bare",
    cwd: "/workspace",
    generation: 1n,
    time: timestampNow(),
    entropy: randomBytes(32),
    channelKey: randomBytes(CHANNEL_KEY_BYTES),
  });
  return programsOf(session);
}
