import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  allowsPackage,
  DEPS_LIST,
  parseDepsList,
  type Region,
  withoutExtension,
} from "./deps-list.ts";
import { importsOf } from "./imports.ts";

/** What a check found. */
export interface Report {
  /** One sentence each; none when every import is allowed. */
  problems: string[];
  /** How many files were read. */
  files: number;
}

/**
 * Checks every import of every source file against the list of its region.
 *
 * @param root - folder of the repository
 * @param sources - folders whose files must each belong to a region, relative to the root; globs
 */
export function checkLayers(root: string, sources: readonly string[]): Report {
  const regions = readRegions(root, sources);
  const files = find(root, sources, "*.{ts,tsx}").filter((file) => !file.includes("/gen/"));
  const problems = [...regions.values()].flatMap((region) => unknownPaths(region, regions, files));
  for (const file of files) {
    if (isForTests(file)) continue;
    const region = regionOf(dirname(file), regions);
    if (region === undefined) {
      problems.push(`${file}: no ${DEPS_LIST} in its folder or above says what it may import.`);
      continue;
    }
    for (const { specifier, line } of importsOf(file, readFileSync(join(root, file), "utf8"))) {
      const problem = problemOf(file, specifier, region, regions);
      if (problem !== undefined) problems.push(`${file}:${line} ${problem}`);
    }
  }
  return { problems, files: files.length };
}

function problemOf(
  file: string,
  specifier: string,
  region: Region,
  regions: ReadonlyMap<string, Region>,
): string | undefined {
  const list = join(region.folder, DEPS_LIST);
  if (!specifier.startsWith(".")) {
    if (allowsPackage(region, specifier)) return undefined;
    return `imports "${specifier}", which ${list} does not allow.`;
  }
  const target = withoutExtension(join(dirname(file), specifier));
  if (isForTests(`${target}.ts`)) return `imports "${specifier}", which is for tests only.`;
  const other = regionOf(dirname(target), regions);
  if (other === region || region.paths.has(target)) return undefined;
  if (other !== undefined && region.paths.has(other.folder)) return undefined;
  const name = other === undefined ? "no region at all" : `${other.folder}/`;
  return `imports "${specifier}", which belongs to ${name}; ${list} does not allow it.`;
}

/** Tests wire things together as they like; nothing else may use what is theirs. */
function isForTests(file: string): boolean {
  return /\.test(?:-d)?\.tsx?$/.test(file) || file.includes("/testing/");
}

/** A path that names nothing would allow nothing, and look as if it did. */
function unknownPaths(
  { folder, paths }: Region,
  regions: ReadonlyMap<string, Region>,
  files: readonly string[],
): string[] {
  const known = new Set([...regions.keys(), ...files.map(withoutExtension)]);
  return [...paths]
    .filter((path) => !known.has(path))
    .map((path) => `${join(folder, DEPS_LIST)}: ${path} is neither a region nor a file.`);
}

function regionOf(folder: string, regions: ReadonlyMap<string, Region>): Region | undefined {
  const region = regions.get(folder);
  if (region !== undefined || folder === "." || folder === "/") return region;
  return regionOf(dirname(folder), regions);
}

function readRegions(root: string, sources: readonly string[]): Map<string, Region> {
  const lists = find(root, sources, DEPS_LIST).map((file) =>
    parseDepsList(file, readFileSync(join(root, file), "utf8")),
  );
  return new Map(lists.map((region) => [region.folder, region]));
}

function find(root: string, sources: readonly string[], name: string): string[] {
  return globSync(
    sources.map((folder) => `${folder}/**/${name}`),
    { cwd: root },
  ).toSorted();
}
