import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";

/** What a host still holds of a home's machines. Nothing of it may outlive the last kill. */
export interface Leftovers {
  processes: string[];
  directories: string[];
  mounts: string[];
  cgroups: string[];
}

/** Looks for processes, folders, mounts and cgroups that belong to `home` or to one of `machineIds`. */
export async function leftovers(home: string, machineIds: string[] = []): Promise<Leftovers> {
  const ours = (text: string) => text.includes(home) || machineIds.some((id) => text.includes(id));
  return {
    processes: (await commandLines()).filter((line) => line.includes("qemu") && ours(line)),
    directories: await entries(join(home, "machines")),
    mounts: (await readFile("/proc/self/mounts", "utf8")).split("\n").filter(ours),
    cgroups: await cgroupsOf(machineIds),
  };
}

/** Asserts that nothing of a home's machines is left. */
export async function expectNothingLeft(home: string, machineIds: string[] = []): Promise<void> {
  expect(await leftovers(home, machineIds)).toEqual({
    processes: [],
    directories: [],
    mounts: [],
    cgroups: [],
  });
}

async function commandLines(): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    // A process may end between the listing and the reading.
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
  );
  return lines.map((line) => line.replaceAll("\0", " "));
}

async function entries(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []);
}

async function cgroupsOf(machineIds: string[]): Promise<string[]> {
  if (machineIds.length === 0) return [];
  const all = await readdir("/sys/fs/cgroup", { recursive: true }).catch(() => []);
  return all.filter((path) => machineIds.some((id) => path.includes(id)));
}
