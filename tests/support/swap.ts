import { execFileSync } from "node:child_process";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MIB = 1024 * 1024;

/**
 * Gives this computer a swap device for a while.
 *
 * @throws Error when it cannot have one: in most containers.
 */
export async function openSwap(megabytes: number): Promise<AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "nullspace-swap-"));
  await using opened = new AsyncDisposableStack();
  opened.defer(() => rm(folder, { recursive: true }));
  const path = join(folder, "swap");
  {
    await using file = await open(path, "w", 0o600);
    await file.truncate(megabytes * MIB);
  }
  run("mkswap", path);
  const device = run("losetup", "--find", "--show", path);
  opened.defer(() => void run("losetup", "--detach", device));
  run("swapon", device);
  opened.defer(() => void run("swapoff", device));
  const owner = opened.move();
  return { [Symbol.asyncDispose]: () => owner.disposeAsync() };
}

/**
 * Has the kernel take away from a process what memory it can.
 *
 * @throws Error when the process is in no control group of its own.
 */
export async function reclaim(pid: number, bytes: number): Promise<void> {
  const groups = (await readFile(`/proc/${pid}/cgroup`, "utf8")).trim().split("\n");
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n");
  for (const line of groups) {
    const [, controllers = "", ...path] = line.split(":");
    const isUnified = controllers === "";
    if (!isUnified && !controllers.split(",").includes("memory")) continue;
    const mount = mounts
      .map((one) => one.split(" "))
      .find(([, , type, options = ""]) =>
        isUnified ? type === "cgroup2" : type === "cgroup" && /\bmemory\b/.test(options),
      );
    if (mount === undefined || !path.join(":").includes("nullspace-")) continue;
    const group = join(mount[1] ?? "", path.join(":"));
    // Both give up when no more can be had, and say so although much was had.
    if (isUnified)
      await writeFile(join(group, "memory.reclaim"), String(bytes)).catch(() => undefined);
    else await writeFile(join(group, "memory.force_empty"), "0").catch(() => undefined);
    return;
  }
  throw new Error(`process ${pid} is in no control group of a machine`);
}

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  }).trim();
}
