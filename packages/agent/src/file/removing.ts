import { lstatSync, rmdirSync, unlinkSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import type { Anchor, Name } from "./anchor.js";
import { errorCode } from "./file-fault.js";
import { namesIn } from "./names.js";

/** Entries removed before others get their turn. */
const BATCH = 64;

/**
 * Removes a file, a link, or a folder with all it holds. What is gone already
 * is fine. A folder that is swapped for a link meanwhile leads nowhere else.
 *
 * @throws system errors.
 */
export async function removeTree(parent: Anchor, name: Name): Promise<void> {
  if (removeOne(parent, name)) return;
  for (;;) {
    {
      using folder = parent.descend(name);
      for (const [index, child] of (await namesIn(folder)).entries()) {
        if (!removeOne(folder, child)) await removeTree(folder, child);
        if (index % BATCH === BATCH - 1) await setImmediate();
      }
    }
    try {
      return rmdirSync(parent.at(name));
    } catch (error) {
      // Something came in while it was emptied.
      if (errorCode(error) !== "ENOTEMPTY") throw error;
    }
  }
}

/** Removes anything but a folder; false for a folder. */
function removeOne(parent: Anchor, name: Name): boolean {
  const path = parent.at(name);
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return true;
  if (stats.isDirectory()) return false;
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  return true;
}
