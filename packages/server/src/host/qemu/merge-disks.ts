import { execFile } from "node:child_process";
import { chmod, constants, copyFile } from "node:fs/promises";
import { promisify } from "node:util";

/** Disks that lie over each other, and what becomes of them. */
export interface DiskMerge {
  /** The raw disk at the bottom. */
  base: string;
  /** Overlays in format qcow2 from the bottom up. Nobody writes them; they may be open elsewhere. */
  layers: readonly string[];
  /** Where the one overlay is written that holds what all of them do. */
  target: string;
  signal: AbortSignal;
}

/** Makes one overlay of many. The names that the overlays call each other by do not count. */
export async function mergeDisks({ base, layers, target, signal }: DiskMerge): Promise<void> {
  const [top = "", ...below] = layers.toReversed();
  await copyFile(top, target, constants.COPYFILE_FICLONE);
  await chmod(target, 0o600);
  // `convert` would copy the topmost alone; `rebase` brings in all that lies between it and the base.
  const chain = [target, ...below].reduceRight<object>(
    (backing, filename) => ({ driver: "qcow2", file: blockFile(filename), backing }),
    { driver: "raw", file: blockFile(base) },
  );
  const args = ["rebase", "-b", base, "-F", "raw", `json:${JSON.stringify(chain)}`];
  // Nobody waits for it; machines do.
  await promisify(execFile)("nice", ["-n", "19", "qemu-img", ...args], { signal });
}

function blockFile(filename: string) {
  return { driver: "file", filename, locking: "off" };
}
