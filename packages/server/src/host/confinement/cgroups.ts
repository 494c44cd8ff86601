import { createHash } from "node:crypto";
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../../domain/log.js";
import { hasCode } from "../durable-files.js";
import { type CgroupMount, parseCgroupMounts, parseOwnCgroups } from "./cgroup-files.js";

/** What one machine may use of its host. */
export interface Limits {
  memoryBytes: number;
  /** Processors' worth of time; 1.5 is one and a half. */
  cpus: number;
  /** Threads of QEMU. */
  threads: number;
}

const CONTROLLERS = ["memory", "cpu", "pids"];
const CPU_PERIOD_US = 100_000;

/** A folder for this server in a hierarchy of the kernel's control groups. */
interface Hierarchy {
  directory: string;
  /** The files of a group and what to write into them. */
  settings: (limits: Limits) => Record<string, string>;
}

/**
 * Limits what machines use through the kernel's control groups, version 1 or 2,
 * where the host lets this server. Where it does not, machines run without
 * limits; that is logged once.
 */
export class Cgroups {
  readonly #hierarchies: Hierarchy[];

  private constructor(hierarchies: Hierarchy[]) {
    this.#hierarchies = hierarchies;
  }

  static async open(home: string, log: Log): Promise<Cgroups> {
    const unique = createHash("sha256").update(home).digest("hex").slice(0, 8);
    const name = `nullspace-${unique}`;
    try {
      const mounts = parseCgroupMounts(await readFile("/proc/self/mounts", "utf8"));
      const own = parseOwnCgroups(await readFile("/proc/self/cgroup", "utf8"));
      const unified = mounts.find((mount) => mount.version === 2);
      const separate = mounts.filter((mount) => mount.version === 1);
      // Controllers of version 1 are not in version 2, even where both are mounted.
      const hierarchies = separate.some((mount) => mount.controllers.includes("memory"))
        ? await openSeparate(separate, own, name)
        : await openUnified(unified, own.get("") ?? "/", name);
      log.debug({ directories: hierarchies.map(({ directory }) => directory) }, "cgroups");
      return new Cgroups(hierarchies);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      log.warn({ error: error.message }, "machines run without cgroup limits");
      return new Cgroups([]);
    }
  }

  /** Whether machines are limited at all. */
  get enabled(): boolean {
    return this.#hierarchies.length > 0;
  }

  /** Puts a process and all its threads under limits, in a group of this name. */
  async place(name: string, pid: number, limits: Limits): Promise<void> {
    const placed = this.#hierarchies.map(async ({ directory, settings }) => {
      const group = join(directory, name);
      await mkdir(group, { recursive: true });
      for (const [file, value] of Object.entries(settings(limits))) {
        await writeFile(join(group, file), value);
      }
      await writeFile(join(group, "cgroup.procs"), String(pid));
    });
    await Promise.all(placed);
  }

  /** Removes the group of a process that has ended. One that is gone already is fine. */
  async remove(name: string): Promise<void> {
    await Promise.all(this.#hierarchies.map(({ directory }) => removeGroup(join(directory, name))));
  }
}

async function openSeparate(
  mounts: CgroupMount[],
  own: Map<string, string>,
  name: string,
): Promise<Hierarchy[]> {
  const used = mounts.filter((mount) => mount.controllers.some((one) => CONTROLLERS.includes(one)));
  const opened = used.map(async (mount) => {
    const controllers = mount.controllers.filter((one) => CONTROLLERS.includes(one));
    // Below our own group, so limits that others have set for us hold for machines as well.
    const directory = join(mount.path, own.get(controllers[0] ?? "") ?? "/", name);
    await mkdir(directory, { recursive: true });
    const settings = (limits: Limits) =>
      Object.fromEntries(controllers.map((one) => separateSetting(one, limits)));
    return { directory, settings };
  });
  return Promise.all(opened);
}

function separateSetting(controller: string, limits: Limits): [file: string, value: string] {
  switch (controller) {
    case "memory":
      return ["memory.limit_in_bytes", String(limits.memoryBytes)];
    case "cpu":
      return ["cpu.cfs_quota_us", String(Math.round(limits.cpus * CPU_PERIOD_US))];
    default:
      return ["pids.max", String(limits.threads)];
  }
}

async function openUnified(
  mount: CgroupMount | undefined,
  own: string,
  name: string,
): Promise<Hierarchy[]> {
  if (mount === undefined) throw new Error("no cgroups are mounted");
  // Beside our own group: one that has processes cannot hand controllers down.
  const directory = join(mount.path, dirname(own), name);
  await mkdir(directory, { recursive: true });
  const enable = CONTROLLERS.map((one) => `+${one}`).join(" ");
  await writeFile(join(directory, "cgroup.subtree_control"), enable);
  return [{ directory, settings: unifiedSettings }];
}

function unifiedSettings(limits: Limits): Record<string, string> {
  return {
    "memory.max": String(limits.memoryBytes),
    "cpu.max": `${Math.round(limits.cpus * CPU_PERIOD_US)} ${CPU_PERIOD_US}`,
    "pids.max": String(limits.threads),
  };
}

/** A group stays busy for a moment after its last process has ended, and the kernel tells no one when. */
async function removeGroup(group: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await rmdir(group);
      return;
    } catch (error) {
      if (hasCode(error, "ENOENT")) return;
      if (!hasCode(error, "EBUSY") || attempt === 10) throw error;
      await delay(attempt * 5);
    }
  }
}
