import { existsSync, mkdirSync, writeFileSync } from "node:fs";

const CGROUPS = "/sys/fs/cgroup";

/**
 * Makes the agent the last thing that the kernel kills for want of memory. What
 * it starts from now on inherits that; the helper takes it off user processes.
 */
export function outliveUserProcesses(): void {
  writeFileSync("/proc/self/oom_score_adj", "-1000");
}

/**
 * Puts the helper, and so every process it starts, into a control group apart
 * from the agent's. Once for all of them: moving each new process would cost
 * every start a grace period of the kernel.
 */
export function separateUserProcesses(helperPid: number): void {
  if (!existsSync(`${CGROUPS}/cgroup.procs`)) return;
  mkdirSync(`${CGROUPS}/user`, { recursive: true });
  writeFileSync(`${CGROUPS}/user/cgroup.procs`, String(helperPid));
}
