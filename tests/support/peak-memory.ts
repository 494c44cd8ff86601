import { readFile, writeFile } from "node:fs/promises";
import type { Machine } from "@nullspace/sdk";
import type { TestServer } from "./server.js";

/** Resident memory of all whom a machine's bytes pass, in MiB. */
export interface Memory {
  /** This process, with the SDK in it. */
  client: number;
  server: number;
  agent: number;
}

/** Watches what memory a machine's bytes take on their way, as the kernels of host and guest count it. */
export class PeakMemory {
  readonly #server: TestServer;
  readonly #machine: Machine;
  readonly #agentPid: number;

  private constructor(server: TestServer, machine: Machine, agentPid: number) {
    this.#server = server;
    this.#machine = machine;
    this.#agentPid = agentPid;
  }

  static async open(server: TestServer, machine: Machine): Promise<PeakMemory> {
    const pid = await asRoot(machine, "pgrep -o -f /opt/nullspace/.*node");
    return new PeakMemory(server, machine, Number(pid));
  }

  /** Forgets the peaks so far. */
  async reset(): Promise<void> {
    await asRoot(this.#machine, `echo 5 > /proc/${this.#agentPid}/clear_refs`);
    for (const pid of [process.pid, this.#server.pid]) await resetPeak(pid);
  }

  /** The largest memory since the last {@link reset}. */
  async peaks(): Promise<Memory> {
    const agent = await asRoot(this.#machine, `cat /proc/${this.#agentPid}/status`);
    return {
      client: toMib(await peakOf(process.pid)),
      server: toMib(await peakOf(this.#server.pid)),
      agent: toMib(peakIn(agent)),
    };
  }
}

/** Forgets the most memory that a process of this computer has had so far. */
export async function resetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, "5");
}

/** The most memory that a process of this computer has had, in bytes. */
export async function peakOf(pid: number): Promise<number> {
  return peakIn(await readFile(`/proc/${pid}/status`, "utf8"));
}

function peakIn(status: string): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

function toMib(bytes: number): number {
  return Math.round(bytes / (1 << 20));
}

async function asRoot(machine: Machine, command: string): Promise<string> {
  return (await machine.commands.run(command, { user: "root" })).orThrow().stdout;
}
