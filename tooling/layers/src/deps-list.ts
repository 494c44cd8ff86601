import { dirname, join } from "node:path";

/** Name of the file that says what a folder may import. */
export const DEPS_LIST = "DEPS.list";

/**
 * What the files of one folder may import, and those of the folders below it that have no list of
 * their own: together they are a region, and within it everything is allowed.
 */
export interface Region {
  /** Folder of the list, relative to the root of the repository. */
  folder: string;
  /** Folders of other regions, and files without their extension. */
  paths: ReadonlySet<string>;
  /** Packages with all their subpaths, modules of Node.js, and `#` imports. */
  packages: ReadonlySet<string>;
}

/**
 * Reads a list: one name a line, `#` and a space for comments. `../domain/` is a region,
 * `../start-error.ts` a file, `kysely` a package, `node:*` every module of Node.js.
 *
 * @param file - relative to the root of the repository
 */
export function parseDepsList(file: string, text: string): Region {
  const folder = dirname(file);
  const lines = text
    .split("\n")
    .map((line) => line.replace(/(^|\s)# .*$/, "").trim())
    .filter((line) => line !== "");
  return {
    folder,
    paths: new Set(lines.filter(isPath).map((line) => withoutExtension(join(folder, line)))),
    packages: new Set(lines.filter((line) => !isPath(line))),
  };
}

function isPath(line: string): boolean {
  return line.startsWith("./") || line.startsWith("../");
}

/** A path as it is compared: without `/` at its end and without the extension of a module. */
export function withoutExtension(path: string): string {
  return path.replace(/\/$/, "").replace(/\.(?:[jt]sx?|mjs)$/, "");
}

/** Whether a region may import a package, a module of Node.js or a `#` import. */
export function allowsPackage({ packages }: Region, specifier: string): boolean {
  if (packages.has(specifier)) return true;
  if (specifier.startsWith("node:")) return packages.has("node:*");
  const [first = "", second = ""] = specifier.split("/");
  return packages.has(first.startsWith("@") ? `${first}/${second}` : first);
}
