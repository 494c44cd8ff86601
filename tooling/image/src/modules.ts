/** Kernel modules by path below `/lib/modules/<release>`, each with the paths it depends on. */
export type ModuleDependencies = ReadonlyMap<string, readonly string[]>;

/**
 * Reads a `modules.dep`, as `depmod` writes it.
 *
 * @throws Error if a line is not `path: dependency dependency…`.
 */
export function parseModulesDep(text: string): ModuleDependencies {
  const dependencies = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const colon = line.indexOf(":");
    if (colon <= 0) throw new Error(`modules.dep has a line without a module: ${line}`);
    const needed = line
      .slice(colon + 1)
      .split(" ")
      .filter((path) => path !== "");
    dependencies.set(line.slice(0, colon), needed);
  }
  return dependencies;
}

/**
 * The given modules and all that they depend on, each once and after what it
 * needs: the order in which plain `insmod` can load them.
 *
 * @throws Error if a module is unknown or depends on itself.
 */
export function inLoadOrder(all: ModuleDependencies, wanted: Iterable<string>): string[] {
  const ordered = new Set<string>();
  const visiting = new Set<string>();
  const visit = (path: string): void => {
    if (ordered.has(path)) return;
    if (visiting.has(path)) throw new Error(`kernel module ${path} depends on itself`);
    const needed = all.get(path);
    if (needed === undefined) throw new Error(`the kernel has no module ${path}`);
    visiting.add(path);
    for (const dependency of needed) visit(dependency);
    visiting.delete(path);
    ordered.add(path);
  };
  for (const path of wanted) visit(path);
  return [...ordered];
}

/**
 * Paths of modules given by name (`ext4`).
 *
 * @throws Error if the kernel has no module of that name.
 */
export function findByName(all: ModuleDependencies, names: Iterable<string>): string[] {
  const byName = new Map<string, string>();
  for (const path of all.keys()) byName.set(moduleName(path), path);
  return Array.from(names, (name) => {
    const path = byName.get(name);
    if (path === undefined) throw new Error(`the kernel has no module named ${name}`);
    return path;
  });
}

/** Paths of modules that begin with one of the prefixes, given below `kernel/`. */
export function findByPrefix(all: ModuleDependencies, prefixes: readonly string[]): string[] {
  return [...all.keys()].filter((path) =>
    prefixes.some((prefix) => path.startsWith(`kernel/${prefix}`)),
  );
}

function moduleName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1).replace(/\.ko$/, "");
}
