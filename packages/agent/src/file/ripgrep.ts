import { ErrorReason } from "@nullspace/proto";
import type { SearchPattern, SearchScope } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { ProcessTable } from "../process/process-table.js";
import { runTool, type ToolEnd } from "../process/tool.js";
import type { Anchor, Spot } from "./anchor.js";
import { joinPath } from "./listing.js";
import { rawUnlessText } from "./names.js";
import type { Paths } from "./paths.js";

/** A folder that ripgrep searches, or the one file in it that is searched. */
export class SearchRoot implements Disposable {
  /** What clients call the folder. */
  readonly path: string;
  readonly folder: Anchor;
  /** What ripgrep is told to search. */
  readonly argument: string;
  /** A path below the folder that is left out. */
  readonly except: string | undefined;

  private constructor(path: string, folder: Anchor, argument: string, except?: string) {
    this.path = path;
    this.folder = folder;
    this.argument = argument;
    this.except = except;
  }

  /** Opens where a scope begins. */
  static open(paths: Paths, path: string, isFolder: (spot: Spot) => boolean): SearchRoot {
    const place = paths.target(path);
    const spot = paths.open(place);
    if (!isFolder(spot)) {
      const above = place.path.slice(0, place.path.lastIndexOf("/")) || "/";
      return new SearchRoot(above, spot.folder, `./${String(spot.name)}`);
    }
    using parent = spot;
    const folder = parent.folder.descend(parent.name);
    return new SearchRoot(place.path, folder, "./", paths.reservedBelow(folder));
  }

  /** The names below the folder that a path of ripgrep's is made of, as bytes. */
  below(path: Buffer): Buffer {
    return path.subarray(0, 2).toString() === "./" ? path.subarray(2) : path;
  }

  /** What clients call a path of ripgrep's. */
  called(path: Buffer): { path: string; rawPath: Buffer | undefined } {
    const below = this.below(path);
    const text = below.toString();
    const raw =
      rawUnlessText(below, text) && Buffer.concat([Buffer.from(joinPath(this.path, "")), below]);
    return { path: joinPath(this.path, text), rawPath: raw };
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

/** Arguments that say what is searched. */
export function scopeArguments(scope: SearchScope, except: string | undefined): string[] {
  const globs = [...scope.globs];
  if (scope.hidden && !scope.ignored) globs.push("!.git");
  // With a slash in front it means this one path, not every one that ends so.
  if (except !== undefined) globs.push(`!/${except}`);
  return [
    ...(scope.hidden ? ["--hidden"] : []),
    ...(scope.ignored ? ["--no-ignore"] : []),
    ...globs.flatMap((glob) => ["--glob", glob]),
  ];
}

/**
 * Arguments that say what is searched for.
 *
 * @throws Fault INVALID_PATTERN for one that matches everywhere or nowhere.
 */
export function patternArguments(pattern: SearchPattern): string[] {
  const { text, regex, ignoreCase } = pattern;
  if (text === "" || text.includes("\0")) {
    throw invalidPattern("the pattern is empty or holds a NUL byte");
  }
  return [
    ...(regex ? [] : ["--fixed-strings"]),
    ...(ignoreCase ? ["--ignore-case"] : ["--case-sensitive"]),
    ...(!regex && text.includes("\n") ? ["--multiline"] : []),
    "--regexp",
    text,
  ];
}

/**
 * Runs ripgrep and gives its standard output.
 *
 * @throws Fault SEARCH_UNAVAILABLE where there is none, INVALID_PATTERN for what it does not understand.
 */
export async function* ripgrep(
  table: ProcessTable,
  cwd: string,
  args: string[],
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const request = { command: "rg", args: ["--no-config", "--no-messages", ...args], cwd };
  let end: ToolEnd;
  try {
    end = yield* runTool(table, request, signal);
  } catch (error) {
    const missing = error instanceof Fault && error.reason === ErrorReason.PROCESS_START_FAILED;
    if (!missing || error.details.program === undefined) throw error;
    throw new Fault(ErrorReason.SEARCH_UNAVAILABLE, "the machine has no ripgrep", {
      remedy: "Install it in the machine or its template: apt-get install ripgrep.",
      cause: error,
    });
  }
  // 1 says that nothing was found. With 2 some file could not be read, which says nothing here.
  if (end.exitCode <= 1 || end.complaint.trim() === "") return;
  throw invalidPattern(end.complaint.trim().slice(0, 1000));
}

function invalidPattern(message: string): Fault {
  return new Fault(ErrorReason.INVALID_PATTERN, message, {
    remedy: "See ripgrep's syntax of patterns, or search for the text literally.",
    details: { field: "pattern" },
  });
}
