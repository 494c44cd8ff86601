import type { GitPerson } from "./options.js";

/** A person at a time. */
export interface GitSignature extends GitPerson {
  time: Date;
}

export interface GitCommit {
  sha: string;
  parents: string[];
  tree: string;
  author: GitSignature;
  committer: GitSignature;
  /** Its first paragraph, as one line. */
  subject: string;
  message: string;
  /** Branches and tags that point to it, as `main`, `origin/main`, `tag: v1`. */
  refs: string[];
}

/** What became of a path. */
export type GitChange =
  | "unmodified"
  | "added"
  | "modified"
  | "deleted"
  | "renamed"
  | "copied"
  | "type-changed"
  | "untracked"
  | "ignored"
  | "conflicted";

/** Who did what to a path that is in conflict. */
export type GitConflict =
  | "both-deleted"
  | "added-by-us"
  | "deleted-by-them"
  | "added-by-them"
  | "deleted-by-us"
  | "both-added"
  | "both-modified";

/** What git is in the midst of. */
export type GitOperation = "merge" | "rebase" | "cherry-pick" | "revert" | "bisect";

export interface GitStatusEntry {
  /** Relative to the top of the work tree. */
  path: string;
  /** Of a rename or copy. */
  originalPath: string | undefined;
  /** Index against HEAD. */
  index: GitChange;
  /** Work tree against index. */
  worktree: GitChange;
  staged: boolean;
  conflict: GitConflict | undefined;
  /** How a submodule differs from what is recorded for it; undefined for everything else. */
  submodule: { commitChanged: boolean; modified: boolean; untracked: boolean } | undefined;
}

export interface GitStatus {
  /** Top of the work tree. */
  root: string;
  /** Undefined when HEAD is detached. */
  branch: string | undefined;
  detached: boolean;
  /** Undefined before the first commit. */
  head: string | undefined;
  upstream: string | undefined;
  /** Commits that the upstream has not; 0 when it is not known. */
  ahead: number;
  /** Commits that only the upstream has; 0 when it is not known. */
  behind: number;
  /** Nothing is changed, and nothing untracked. */
  clean: boolean;
  operation: GitOperation | undefined;
  entries: GitStatusEntry[];
  conflicts: GitStatusEntry[];
  stashes: number;
  /** There is more than is told. */
  truncated: boolean;
}

export interface GitBranch {
  /** As `main`, or `origin/main` of a remote. */
  name: string;
  sha: string;
  current: boolean;
  remote: boolean;
  upstream: string | undefined;
  upstreamGone: boolean;
  ahead: number;
  behind: number;
  subject: string;
}

export interface GitFileDiff {
  path: string;
  originalPath: string | undefined;
  change: GitChange;
  /** Lines; 0 for a binary file. */
  additions: number;
  deletions: number;
  binary: boolean;
  submodule: boolean;
  /** As `0o100644`; 0 when there is none. */
  oldMode: number;
  newMode: number;
}

export interface GitDiff {
  files: GitFileDiff[];
  /** In git's format; bytes that are not UTF-8 read as U+FFFD. */
  patch: string;
  /** As git wrote it. */
  patchBytes: Uint8Array;
  /** The patch or the list goes on beyond what is told. */
  truncated: boolean;
}

/** What became of a branch or tag in a fetch or push. */
export type GitRefResult = "up-to-date" | "new" | "updated" | "forced" | "deleted" | "rejected";

export interface GitRefUpdate {
  /** Full names, as `refs/heads/main`. */
  localRef: string | undefined;
  remoteRef: string | undefined;
  result: GitRefResult;
  /** In git's words. */
  summary: string;
}

export interface GitRemote {
  name: string;
  /** Passwords in it are not told. */
  fetchUrl: string;
  pushUrl: string;
}

export interface GitStash {
  /** 0 is the newest. */
  index: number;
  sha: string;
  message: string;
  time: Date;
}

export interface GitTag {
  name: string;
  /** What it points to in the end. */
  sha: string;
  annotated: boolean;
  message: string;
  /** Of an annotated tag. */
  tagger: GitSignature | undefined;
}

export interface GitConfigEntry {
  name: string;
  value: string;
  /** `system`, `global`, `local` or `worktree`. */
  scope: string;
}

/** Branch and commit that are worked on; undefined where there is none. */
export interface GitHead {
  branch: string | undefined;
  head: string | undefined;
}
