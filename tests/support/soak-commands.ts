import { readdir } from "node:fs/promises";
import type { Machine } from "@nullspace/sdk";
import type { TestServer } from "./server.js";

/** Commands that run at a time. */
const LANES = 8;

/** What everyone holds who takes part in commands. */
export interface Held {
  /** Open descriptors of the server. */
  server: number;
  /** Open descriptors of all of the platform's processes in the machine. */
  guestDescriptors: number;
  guestProcesses: number;
  /** Resident memory of those processes in MiB. */
  guestMemoryMb: number;
}

/** Runs so many quick commands in a machine, each of which must answer for itself. */
export async function runQuickCommands(machine: Machine, count: number): Promise<void> {
  let next = 0;
  const lane = async () => {
    for (let i = next++; i < count; i = next++) {
      const { stdout, stderr, exitCode } = await machine.commands.run(
        `echo ${i}; echo e${i} >&2; exit ${i % 200}`,
      );
      if (stdout !== `${i}\n` || stderr !== `e${i}\n` || exitCode !== i % 200) {
        throw new Error(`command ${i}: ${JSON.stringify({ stdout, stderr, exitCode })}`);
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

const COUNT_HELD = `
pids=$(pgrep -f /opt/nullspace/)
for pid in $pids; do ls /proc/$pid/fd; done | wc -l
ps -e | wc -l
for pid in $pids; do grep VmRSS /proc/$pid/status; done | awk '{ sum += $2 } END { print int(sum / 1024) }'`;

/** Counts what is held at the moment. */
export async function whatIsHeld(server: TestServer, machine: Machine): Promise<Held> {
  const { stdout } = (await machine.commands.run(COUNT_HELD, { user: "root" })).orThrow();
  const [guestDescriptors = 0, guestProcesses = 0, guestMemoryMb = 0] = stdout
    .trim()
    .split("\n")
    .map(Number);
  return {
    server: (await readdir(`/proc/${server.pid}/fd`)).length,
    guestDescriptors,
    guestProcesses,
    guestMemoryMb,
  };
}
