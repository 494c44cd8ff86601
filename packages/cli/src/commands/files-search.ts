import type { FileEvent, FileType, SearchMatch } from "@nullspace/sdk";
import type { CommonOptions } from "../options.js";
import { hint, print, printJson, shown, styled } from "../terminal.js";
import { printEntries, withFiles } from "./files.js";

/** Options of `nullspace files find`. */
export interface FindFlags extends CommonOptions {
  type?: FileType;
  limit: number;
}

/** `nullspace files find` */
export async function find(
  id: string,
  glob: string,
  path: string,
  flags: FindFlags,
): Promise<void> {
  const { type, limit } = flags;
  const found = await withFiles(id, flags, (files) => files.find(path, glob, { type, limit }));
  if (flags.json) return printJson({ items: found.entries, truncated: found.truncated });
  printEntries(found.entries, false, true);
  if (found.truncated) hint(`there are more than ${limit}: add --limit`);
}

/** What `search` and `replace` look at. */
interface PatternFlags extends CommonOptions {
  regex?: boolean;
  ignoreCase?: boolean;
  glob?: string[];
  hidden?: boolean;
  ignored?: boolean;
}

/** Options of `nullspace files search`. */
export interface SearchFlags extends PatternFlags {
  limit: number;
}

/** `nullspace files search`: gives 1 when nothing matches, as grep does. */
export async function search(
  id: string,
  text: string,
  path: string,
  flags: SearchFlags,
): Promise<number> {
  const { limit } = flags;
  const options = { ...scopeOf(path, flags), limit };
  const found = await withFiles(id, flags, (files) => files.search(text, options));
  const { matches, truncated, skippedLines } = found;
  if (flags.json) printJson({ items: matches, truncated, skippedLines });
  else {
    print(matches.map(lineOf).join(""));
    if (truncated) hint(`there may be more than ${limit}: add --limit`);
  }
  return matches.length === 0 ? 1 : 0;
}

/** Options of `nullspace files replace`. */
export interface ReplaceFlags extends PatternFlags {
  dryRun?: boolean;
}

/** `nullspace files replace` */
export async function replace(
  id: string,
  text: string,
  replacement: string,
  path: string,
  flags: ReplaceFlags,
): Promise<void> {
  const { dryRun } = flags;
  const options = { ...scopeOf(path, flags), dryRun };
  const done = await withFiles(id, flags, (files) => files.replace(text, replacement, options));
  if (flags.json) return printJson({ ...done, dryRun: dryRun === true });
  print(done.files.map((file) => `${shown(file.path)}: ${file.replacements}\n`).join(""));
  hint(`${done.replacements} replacements${dryRun ? " would be made" : ""}`);
}

/** Options of `nullspace files watch`. */
export interface WatchFlags extends CommonOptions {
  recursive?: boolean;
  count?: number;
}

/** `nullspace files watch`: with --json one object a line. */
export async function watch(id: string, path: string, flags: WatchFlags): Promise<void> {
  await withFiles(id, flags, async (files) => {
    const events = files.watch(path, { recursive: flags.recursive });
    await events.ready;
    hint("watching; Ctrl-C ends it");
    let left = flags.count ?? Number.POSITIVE_INFINITY;
    for await (const event of events) {
      if (flags.json) printJson(event);
      else print(`${describe(event)}\n`);
      if (--left <= 0) break;
    }
  });
}

function scopeOf(path: string, { regex, ignoreCase, glob, hidden, ignored }: PatternFlags) {
  return { path, regex, ignoreCase, globs: glob, hidden, ignored };
}

/** A match as grep prints it; what matched stands out on a terminal. */
function lineOf({ path, lineNumber, line, ranges, lineTruncated }: SearchMatch): string {
  let text = "";
  let at = 0;
  for (const { start, end } of ranges) {
    text += shown(line.slice(at, start)) + styled("red", shown(line.slice(start, end)));
    at = end;
  }
  text += shown(line.slice(at)) + (lineTruncated ? "…" : "");
  return `${styled("cyan", shown(path))}:${styled("green", String(lineNumber))}:${text}\n`;
}

const STYLES = {
  created: "green",
  modified: "yellow",
  removed: "red",
  renamed: "cyan",
  resyncRequired: "bold",
} as const;

function describe(event: FileEvent): string {
  const type = styled(STYLES[event.type], event.type);
  if (event.type === "resyncRequired") return `${type}  events were lost: look anew`;
  const name = shown(event.path) + (event.isDirectory ? "/" : "");
  return event.type === "renamed"
    ? `${type}  ${shown(event.oldPath)} -> ${name}`
    : `${type}  ${name}`;
}
