import { readFile } from "node:fs/promises";
import { hasCode } from "../durable-files.js";

/** A process, told from every later one that gets the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In clock ticks since the host booted. */
  readonly startTime: bigint;
}

/** Who has this pid at the moment; `undefined` when nobody has, or only a zombie. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    // The second field, the command's name in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, startTime] = [fields[0], fields[19]];
    if (startTime === undefined || state === "Z" || state === "X") return undefined;
    return { pid, startTime: BigInt(startTime) };
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/** Whether this very process still runs. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await identifyProcess(identity.pid))?.startTime === identity.startTime;
}
