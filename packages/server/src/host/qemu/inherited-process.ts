import { setTimeout as delay } from "node:timers/promises";
import { hasCode } from "../durable-files.js";
import { isAlive, type ProcessIdentity } from "./process-identity.js";
import type { QemuProcess } from "./qemu-process.js";
import type { QmpClient } from "./qmp/qmp-client.js";

/** How often to look for a process whose monitor is gone: it ends within a moment, and nobody tells us. */
const LOOK_EVERY_MS = 20;

/** How long a process may outlive its monitor before it is ended by force. */
const LINGER_MS = 5_000;

/** A QEMU that a former server has started. The end of its monitor tells of its own. */
export class InheritedProcess implements QemuProcess {
  readonly pid: number;
  readonly exited: Promise<void>;
  readonly #identity: ProcessIdentity;

  constructor(identity: ProcessIdentity, qmp: QmpClient) {
    this.pid = identity.pid;
    this.#identity = identity;
    this.exited = qmp.closed.then(() => endOf(identity));
  }

  async kill(): Promise<void> {
    await signal(this.#identity);
    await this.exited;
  }
}

/** Ends a process that no monitor is connected to, and waits until it has ended. */
export async function killProcess(identity: ProcessIdentity): Promise<void> {
  await signal(identity);
  await endOf(identity);
}

async function endOf(identity: ProcessIdentity): Promise<void> {
  const started = Date.now();
  while (await isAlive(identity)) {
    if (Date.now() - started > LINGER_MS) await signal(identity);
    await delay(LOOK_EVERY_MS, undefined, { ref: false });
  }
}

/** Between the look and the signal the pid could only change hands if 4 million others came by. */
async function signal(identity: ProcessIdentity): Promise<void> {
  if (!(await isAlive(identity))) return;
  try {
    process.kill(identity.pid, "SIGKILL");
  } catch (error) {
    if (!hasCode(error, "ESRCH")) throw error;
  }
}
