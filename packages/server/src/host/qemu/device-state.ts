import { constants } from "node:fs";
import { open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Deadline } from "../deadline.js";
import type { QmpClient } from "./qmp/qmp-client.js";

/** Where QEMU writes; what is there afterwards belongs to its user. */
const SAVING_FILE = "devices.saving";

/** Far above what the devices of any machine take. */
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Has QEMU save the state of a stopped guest's devices in its working directory, where it
 * must be allowed to make files. {@link takeDevices} fetches it.
 *
 * @throws QmpCommandError, QmpClosedError, DeadlineError, or the reason of the signal.
 */
export async function saveDevices(qmp: QmpClient, deadline: Deadline): Promise<void> {
  const options = { filename: SAVING_FILE, live: true };
  await qmp.execute("xen-save-devices-state", options, deadline);
}

/** Moves what {@link saveDevices} saved to a file of ours. */
export async function takeDevices(directory: string, target: string): Promise<void> {
  const saving = join(directory, SAVING_FILE);
  await writeFile(target, await readBounded(saving), { mode: 0o600 });
  await rm(saving);
}

/** A copy of our own: QEMU may keep what it wrote open, and we trust it with nothing. */
async function readBounded(path: string): Promise<Buffer> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const stat = await file.stat();
  if (!stat.isFile() || stat.size > MAX_BYTES) throw new Error("QEMU saved no plausible state");
  return await file.readFile();
}
