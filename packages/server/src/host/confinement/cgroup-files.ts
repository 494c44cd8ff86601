/** Where a hierarchy of control groups is mounted. */
export interface CgroupMount {
  version: 1 | 2;
  path: string;
  /** Of version 1; those of version 2 are all in one hierarchy. */
  controllers: string[];
}

/** Reads `/proc/self/mounts`. */
export function parseCgroupMounts(text: string): CgroupMount[] {
  return text.split("\n").flatMap((line): CgroupMount[] => {
    const [, path = "", type = "", options = ""] = line.split(" ");
    if (type === "cgroup2") return [{ version: 2, path, controllers: [] }];
    if (type === "cgroup") return [{ version: 1, path, controllers: options.split(",") }];
    return [];
  });
}

/** Reads `/proc/self/cgroup`: our own group by controller; that of version 2 under "". */
export function parseOwnCgroups(text: string): Map<string, string> {
  const groups = text.split("\n").flatMap((line): [string, string][] => {
    const [, controllers, ...path] = line.split(":");
    if (controllers === undefined) return [];
    return controllers.split(",").map((controller) => [controller, path.join(":")]);
  });
  return new Map(groups);
}
