import { UsageError } from "./usage-error.js";

/** One end of a copy. */
export type Place =
  | { kind: "machine"; machineId: string; path: string }
  | { kind: "local"; path: string }
  /** Standard input or output. */
  | { kind: "pipe" };

/**
 * Reads an end of a copy as scp does: `machine:path`, `-` for a pipe, and
 * everything else is local, also `./a:b` and `/a:b`.
 */
export function parsePlace(text: string): Place {
  if (text === "-") return { kind: "pipe" };
  const colon = text.indexOf(":");
  const slash = text.indexOf("/");
  if (colon > 0 && (slash < 0 || colon < slash)) {
    // Without a path it is where commands begin.
    return { kind: "machine", machineId: text.slice(0, colon), path: text.slice(colon + 1) || "." };
  }
  if (colon === 0) throw new UsageError(`${text} names no machine before the colon`);
  if (text === "") throw new UsageError("a path is empty");
  return { kind: "local", path: text };
}

/** The last part of a path; undefined of one that ends in none of its own, as `/`, `.` and `..`. */
export function nameOf(path: string): string | undefined {
  const name = path.replace(/\/+$/, "").split("/").at(-1);
  return name === undefined || name === "" || name === "." || name === ".." ? undefined : name;
}

/**
 * Where a copy of `source` goes that was asked to go to `target`: into it where
 * that is a folder, else to that very path. `dir/.` means what is in the folder.
 */
export function targetPath(source: string, target: string, targetIsFolder: boolean): string {
  if (!targetIsFolder && !target.endsWith("/")) return target;
  const name = nameOf(source);
  if (name === undefined || source.endsWith("/.")) return target;
  return `${target.replace(/\/+$/, "")}/${name}`;
}
