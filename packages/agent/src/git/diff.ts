import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GitDiffSchema, GitFileDiffSchema, GitPlace } from "@nullspace/proto/agent";
import type { Git } from "./git.js";
import { changeOf } from "./status.js";

export type Diff = MessageInitShape<typeof GitDiffSchema>;
type FileDiff = MessageInitShape<typeof GitFileDiffSchema>;

/** Most of a patch that is told. */
const MOST_PATCH = 4 << 20;

const SUBMODULE_MODE = 0o160000;

export interface DiffQuery {
  place: GitPlace | undefined;
  /** What to compare, and paths. */
  range: readonly string[];
  contextLines?: number | undefined;
  noPatch?: boolean;
  signal: AbortSignal;
}

/** Tells what differs: the list first, then the patch. */
export async function diff(git: Git, query: DiffQuery): Promise<Diff> {
  const { place, range, contextLines, noPatch = false, signal } = query;
  const common = ["--find-renames", "--no-ext-diff", "--no-textconv"];
  const run = { place, signal, readOnly: true };
  const listArgs = ["diff", "--raw", "--numstat", "--no-abbrev", "-z", ...common, ...range];
  const list = await git.fields({ ...run, args: listArgs });
  const files = parseDiff(list.fields);
  if (noPatch || files.length === 0) return { files, truncated: list.truncated };
  const context = contextLines === undefined ? [] : [`--unified=${contextLines}`];
  const args = ["diff", "--patch", "--full-index", ...context, ...common, ...range];
  const { stdout, truncated } = await git.run({ ...run, args, mostOutput: MOST_PATCH });
  return { files, patch: stdout, truncated: truncated || list.truncated };
}

/** Reads `git diff --raw --numstat -z`: first every change, then the lines of each. */
export function parseDiff(fields: readonly string[]): FileDiff[] {
  const files = new Map<string, FileDiff>();
  const rest = fields[Symbol.iterator]();
  const next = (): string => {
    const field: IteratorResult<string, unknown> = rest.next();
    return field.done === true ? "" : field.value;
  };
  for (const field of rest) {
    if (field.startsWith(":")) {
      const file = readRaw(field, next);
      files.set(file.path ?? "", file);
      continue;
    }
    const [additions = "", deletions = "", name = ""] = field.split(/\t(.*)\t(.*)/s);
    let path = name;
    if (path === "") {
      // A rename: the old path, then the new.
      next();
      path = next();
    }
    const file = files.get(path);
    if (file === undefined) continue;
    file.binary = additions === "-";
    file.additions = file.binary ? 0 : Number(additions);
    file.deletions = file.binary ? 0 : Number(deletions);
  }
  return [...files.values()];
}

function readRaw(field: string, next: () => string): FileDiff {
  const [oldMode = "0", newMode = "0", , , status = ""] = field.slice(1).split(" ");
  const letter = status[0] ?? "";
  const first = next();
  const isMoved = letter === "R" || letter === "C";
  const modes = { oldMode: Number.parseInt(oldMode, 8), newMode: Number.parseInt(newMode, 8) };
  return {
    path: isMoved ? next() : first,
    originalPath: isMoved ? first : "",
    change: changeOf(letter),
    submodule: modes.oldMode === SUBMODULE_MODE || modes.newMode === SUBMODULE_MODE,
    ...modes,
  };
}
