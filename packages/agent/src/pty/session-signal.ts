import { readdirSync, readFileSync } from "node:fs";

/**
 * Signals every process group of a session: a shell puts each of its jobs into
 * a group of its own.
 *
 * @param leader pid of the process that leads the session.
 * @returns whether there was anyone to signal.
 */
export function signalSession(leader: number, signal: number): boolean {
  let reached = false;
  for (const group of groupsOf(leader)) {
    try {
      process.kill(-group, signal);
      reached = true;
    } catch (error) {
      // It has ended since.
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
    }
  }
  return reached;
}

function groupsOf(leader: number): Set<number> {
  const groups = new Set<number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(name);
    // The name in parentheses may hold anything; state, parent, group and session come after it.
    const [state, , group, session] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (Number(session) === leader && state !== "Z") groups.add(Number(group));
  }
  return groups;
}

function readStat(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    // Ended since the folder was read.
    return "";
  }
}
