import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  GitChange,
  GitConflict,
  type GitStatusEntrySchema,
  type GitStatusSchema,
} from "@nullspace/proto/agent";

export type Status = MessageInitShape<typeof GitStatusSchema> & { entries: Entry[] };
type Entry = MessageInitShape<typeof GitStatusEntrySchema>;

const CHANGES: Readonly<Record<string, GitChange>> = {
  ".": GitChange.UNMODIFIED,
  A: GitChange.ADDED,
  M: GitChange.MODIFIED,
  D: GitChange.DELETED,
  R: GitChange.RENAMED,
  C: GitChange.COPIED,
  T: GitChange.TYPE_CHANGED,
  U: GitChange.CONFLICTED,
};

const CONFLICTS: Readonly<Record<string, GitConflict>> = {
  DD: GitConflict.BOTH_DELETED,
  AU: GitConflict.ADDED_BY_US,
  UD: GitConflict.DELETED_BY_THEM,
  UA: GitConflict.ADDED_BY_THEM,
  DU: GitConflict.DELETED_BY_US,
  AA: GitConflict.BOTH_ADDED,
  UU: GitConflict.BOTH_MODIFIED,
};

/** The change that a letter of git's means. */
export function changeOf(letter: string): GitChange {
  return CHANGES[letter] ?? GitChange.UNSPECIFIED;
}

/** Reads `git status --porcelain=v2 --branch --show-stash -z`, cut into its fields. */
export function parseStatus(fields: readonly string[]): Status {
  const status: Status = { entries: [] };
  const rest = fields[Symbol.iterator]();
  for (const field of rest) {
    const kind = field[0];
    if (kind === "#") readHeader(status, field);
    else if (kind === "?") status.entries.push(untracked(field, GitChange.UNTRACKED));
    else if (kind === "!") status.entries.push(untracked(field, GitChange.IGNORED));
    else if (kind === "1") status.entries.push(changed(field, 8));
    else if (kind === "2") {
      const original: IteratorResult<string, unknown> = rest.next();
      const originalPath = original.done === true ? "" : original.value;
      status.entries.push({ ...changed(field, 9), originalPath });
    } else if (kind === "u") status.entries.push(conflicted(field));
  }
  return status;
}

function readHeader(status: Status, field: string): void {
  const [, name, value = "", more = ""] = field.split(" ");
  switch (name) {
    case "branch.oid":
      status.head = value === "(initial)" ? "" : value;
      break;
    case "branch.head":
      status.detached = value === "(detached)";
      status.branch = status.detached ? "" : value;
      break;
    case "branch.upstream":
      status.upstream = value;
      break;
    case "branch.ab":
      status.upstreamKnown = true;
      status.ahead = Number(value);
      status.behind = -Number(more);
      break;
    case "stash":
      status.stashes = Number(value);
      break;
    case undefined:
    default:
      break;
  }
}

function untracked(field: string, change: GitChange): Entry {
  return { path: field.slice(2), index: GitChange.UNMODIFIED, worktree: change };
}

/** @param before how many words stand before the path, which may hold spaces. */
function changed(field: string, before: number): Entry {
  const { words, path } = split(field, before);
  const [, xy = "", sub = ""] = words;
  return {
    path,
    index: changeOf(xy[0] ?? ""),
    worktree: changeOf(xy[1] ?? ""),
    ...submodule(sub),
  };
}

function conflicted(field: string): Entry {
  const { words, path } = split(field, 10);
  const [, xy = "", sub = ""] = words;
  return {
    path,
    index: GitChange.CONFLICTED,
    worktree: GitChange.CONFLICTED,
    conflict: CONFLICTS[xy] ?? GitConflict.UNSPECIFIED,
    ...submodule(sub),
  };
}

function split(field: string, before: number): { words: string[]; path: string } {
  const words = field.split(" ");
  return { words: words.slice(0, before), path: words.slice(before).join(" ") };
}

/** "N..." for none, else "S" and a letter or dot for each thing that differs. */
function submodule(sub: string) {
  if (!sub.startsWith("S")) return {};
  return {
    submodule: {
      commitChanged: sub[1] === "C",
      modified: sub[2] === "M",
      untracked: sub[3] === "U",
    },
  };
}
