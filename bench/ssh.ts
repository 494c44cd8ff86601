import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Machine } from "@nullspace/sdk";
import type { Bench } from "./bench.ts";
import { timed } from "./clock.ts";
import { interleave, side } from "./interleave.ts";
import type { Findings, Measurement } from "./measurement.ts";
import { retrying } from "./retry.ts";
import { SshWay } from "./ssh-way.ts";
import { summarise } from "./statistics.ts";

const EXEC_LIMIT = 0.8;
const ECHO_LIMIT = 1;
const CROWD = 50;
const CROWD_LIMIT = 60;
/** The first ones in a new guest meet code that has not run there yet. */
const WARM_UPS = 5;
/** Echoes of a key are asked for in series: a terminal is opened once for each. */
const SERIES = 10;

/** Commands and terminals, as a user of ssh has them. */
export const ssh: Measurement = {
  name: "ssh",
  async run(bench: Bench): Promise<Findings> {
    const { quick, signal, note } = bench;
    const rounds = quick ? 15 : 60;
    await using server = await bench.startServer();
    await using machine = await retrying(() => server.client.machines.create({ signal }), note);
    await using way = await SshWay.open(bench, machine);

    const ours = side(async () => [(await timed(() => trueIn(machine))).ms]);
    const theirs = side(async () => [
      (await timed(() => way.local("ssh", [...way.options, way.target, "true"]))).ms,
    ]);
    await interleave([ours, theirs], { rounds, warmUps: WARM_UPS, signal });

    const ourEcho = side(() => echoesOfOurs(machine));
    const theirEcho = side(() => echoesOfTheirs(way));
    await interleave([ourEcho, theirEcho], { rounds: rounds / 5, warmUps: 1, signal });

    note(`${CROWD} at once`);
    const single = side(async () => [(await timed(() => trueIn(machine))).ms]);
    const crowd = side(() =>
      Promise.all(
        Array.from({ length: CROWD }, async () => (await timed(() => trueIn(machine))).ms),
      ),
    );
    await interleave([single, crowd], { rounds: quick ? 3 : 10, warmUps: 1, signal });

    const samples = {
      run_ms: { ...summarise(ours.samples), unit: "ms" } as const,
      ssh_run_ms: { ...summarise(theirs.samples), unit: "ms" } as const,
      echo_ms: { ...summarise(ourEcho.samples), unit: "ms" } as const,
      ssh_echo_ms: { ...summarise(theirEcho.samples), unit: "ms" } as const,
      crowd_ms: { ...summarise(crowd.samples), unit: "ms" } as const,
    };
    const slowest = crowd.samples.toSorted((a, b) => a - b)[
      Math.ceil(crowd.samples.length * 0.99) - 1
    ];
    return {
      about: ABOUT,
      ratios: {
        exec_vs_ssh: {
          value: samples.run_ms.median / samples.ssh_run_ms.median,
          limit: EXEC_LIMIT,
          of: 'commands.run("true") / ssh with a kept connection into the same machine',
        },
        echo_vs_ssh: {
          value: samples.echo_ms.median / samples.ssh_echo_ms.median,
          limit: ECHO_LIMIT,
          of: "a key typed into cat in pty.create to its echo / the same in ssh -tt",
        },
        crowd_vs_single: {
          value: (slowest ?? Number.NaN) / summarise(single.samples).median,
          limit: CROWD_LIMIT,
          of: `99th percentile of ${CROWD} commands at once / the median of one alone`,
        },
      },
      samples,
    };
  },
};

const ABOUT =
  "In one machine, in turn: the shell line `true` from the call to its exit code, by the SDK and by OpenSSH's client " +
  "and server over the machine's network card and a tap, one connection kept (ControlMaster). Then one key typed " +
  "into `cat` in a terminal of each kind to its echo. Then commands alone and " +
  `${CROWD} at once; one that fails ends the measurement.`;

async function trueIn(machine: Machine): Promise<void> {
  (await machine.commands.run("true")).orThrow();
}

async function echoesOfOurs(machine: Machine): Promise<number[]> {
  await using session = await machine.pty.create({ command: "cat" });
  const output = session[Symbol.asyncIterator]();
  const samples: number[] = [];
  for (let count = 0; count <= SERIES; count++) {
    const started = performance.now();
    const sent = session.sendInput("x");
    await output.next();
    const ms = performance.now() - started;
    await sent;
    // The first may wait for the program.
    if (count > 0) samples.push(ms);
  }
  await session.kill();
  await output.return?.();
  return samples;
}

async function echoesOfTheirs(way: SshWay): Promise<number[]> {
  const child = spawn("ssh", [...way.options, "-tt", way.target, "cat"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  const exited = once(child, "close");
  const samples: number[] = [];
  for (let count = 0; count <= SERIES; count++) {
    const { ms } = await timed(async () => {
      const echo = once(child.stdout, "data");
      child.stdin.write("x");
      await echo;
    });
    if (count > 0) samples.push(ms);
  }
  child.kill();
  await exited;
  return samples;
}
