import type { CallOptions } from "../call.js";

/** What every Git call takes: where git works, and as whom. */
export interface GitOptions extends CallOptions {
  /** A folder of the repository; the machine's default working directory when not given. */
  path?: string | undefined;
  /** Guest user to run as; `user` when not given. */
  user?: string | undefined;
  /** Added to the machine's environment. */
  envs?: Readonly<Record<string, string>> | undefined;
}

/** For `https`: a password or token. It is given to the host of the remote's URL only. */
export interface GitPasswordAuth {
  username: string;
  password: string;
}

/** For `ssh`: a private key in the format of OpenSSH or PEM. */
export interface GitKeyAuth {
  privateKey: string;
  /** Of the key, if it has one. */
  passphrase?: string | undefined;
  /**
   * Lines of a `known_hosts` file: only these hosts are believed. When not
   * given, a host that is new to the guest user is believed and remembered.
   */
  knownHosts?: string | undefined;
}

/**
 * Credentials of one call. The machine holds them in memory while it lasts, and
 * nowhere else: not in arguments, URLs, configuration, files, logs or errors.
 */
export type GitAuth = GitPasswordAuth | GitKeyAuth;

/** How far git is. */
export interface GitProgress {
  /** In git's words: "Receiving objects", "Resolving deltas", ...; empty with a `message`. */
  phase: string;
  done: number;
  /** Undefined while it is not known. */
  total: number | undefined;
  /** What the remote says, when it is not a count; empty otherwise. */
  message: string;
}

/** What calls take that go over the network. They have no limit of time unless you set one. */
export interface GitRemoteOptions extends GitOptions {
  auth?: GitAuth | undefined;
  /** Called with each step; a slow listener misses some. */
  onProgress?: ((progress: GitProgress) => void) | undefined;
}

/** Who made something. */
export interface GitPerson {
  name: string;
  email: string;
}

export interface CloneOptions extends GitRemoteOptions {
  url: string;
  /** Folder to make; one named after the repository when not given. */
  path?: string | undefined;
  /** Branch or tag; the remote's own when not given. */
  branch?: string | undefined;
  /** Commits of history; all when not given. */
  depth?: number | undefined;
  recurseSubmodules?: boolean | undefined;
  bare?: boolean | undefined;
}

export interface InitOptions extends GitOptions {
  /** `main` when not given. */
  initialBranch?: string | undefined;
  bare?: boolean | undefined;
}

export interface StatusOptions extends GitOptions {
  /** Tell ignored files, too. */
  ignored?: boolean | undefined;
}

export interface AddOptions extends GitOptions {
  /** Files and folders by their names; no patterns. */
  files?: readonly string[] | undefined;
  /** Everything in the work tree. */
  all?: boolean | undefined;
  /** Ignored files as well. */
  force?: boolean | undefined;
}

export interface CommitOptions extends GitOptions {
  /** May be left out to amend. */
  message?: string | undefined;
  /** Author and committer; as configured when not given. */
  author?: GitPerson | undefined;
  /** Add changed and deleted files that git knows first. */
  all?: boolean | undefined;
  /** Replace the last commit. */
  amend?: boolean | undefined;
  allowEmpty?: boolean | undefined;
}

export interface BranchOptions extends GitOptions {
  name: string;
  /** Commit to begin at; HEAD when not given. */
  start?: string | undefined;
  force?: boolean | undefined;
}

export interface ListBranchesOptions extends GitOptions {
  /** Those of remotes as well. */
  remote?: boolean | undefined;
}

export interface DeleteBranchOptions extends GitOptions {
  name: string;
  /** Even when its commits are nowhere else. */
  force?: boolean | undefined;
}

export interface CheckoutOptions extends GitOptions {
  /** Branch, tag or commit. */
  ref?: string | undefined;
  /** Make a branch of this name at `ref`, or at HEAD. */
  create?: string | undefined;
  detach?: boolean | undefined;
  /** Throw away changes that are in the way. */
  force?: boolean | undefined;
}

export interface DiffOptions extends GitOptions {
  /** A commit; the index, or HEAD when `staged`, when not given. */
  from?: string | undefined;
  /** A commit; the work tree when not given. */
  to?: string | undefined;
  /** The index against `from`. */
  staged?: boolean | undefined;
  files?: readonly string[] | undefined;
  /** Lines around each change; 3 when not given. */
  contextLines?: number | undefined;
  /** False for the list of files only. */
  patch?: boolean | undefined;
}

export interface LogOptions extends GitOptions {
  /** Where to begin, or a range as `"main..topic"`; HEAD when not given. */
  ref?: string | undefined;
  /** 1 to 1000; 50 when not given. */
  limit?: number | undefined;
  /** Commits to leave out at the beginning. */
  skip?: number | undefined;
  files?: readonly string[] | undefined;
}

export interface ShowOptions extends GitOptions {
  /** HEAD when not given. */
  ref?: string | undefined;
}

export interface FetchOptions extends GitRemoteOptions {
  /** As configured, mostly `origin`, when not given. */
  remote?: string | undefined;
  refs?: readonly string[] | undefined;
  /** Forget branches that the remote no longer has. */
  prune?: boolean | undefined;
  tags?: boolean | undefined;
  depth?: number | undefined;
}

export interface PullOptions extends GitRemoteOptions {
  remote?: string | undefined;
  branch?: string | undefined;
  /** Put your commits on top instead of merging. */
  rebase?: boolean | undefined;
  /** Fail where a merge or rebase would be needed. */
  fastForwardOnly?: boolean | undefined;
}

export interface PushOptions extends GitRemoteOptions {
  /** As configured, mostly `origin`, when not given. */
  remote?: string | undefined;
  /** Branches, tags or refspecs; the current branch when not given. */
  refs?: readonly string[] | undefined;
  /** Overwrite the remote's branch, if it is as it was fetched last. */
  forceWithLease?: boolean | undefined;
  force?: boolean | undefined;
  setUpstream?: boolean | undefined;
  tags?: boolean | undefined;
  /** Remove `refs` from the remote. */
  delete?: boolean | undefined;
}

export interface AddRemoteOptions extends GitOptions {
  name: string;
  /** Without a password: credentials go into each call. */
  url: string;
  /** Give the remote another URL when it is there already. */
  replace?: boolean | undefined;
}

export interface RemoveRemoteOptions extends GitOptions {
  name: string;
}

export interface SaveStashOptions extends GitOptions {
  message?: string | undefined;
  includeUntracked?: boolean | undefined;
  keepIndex?: boolean | undefined;
  files?: readonly string[] | undefined;
}

export interface StashOptions extends GitOptions {
  /** 0, the newest, when not given. */
  index?: number | undefined;
}

export interface ResetOptions extends GitOptions {
  /** HEAD when not given. */
  ref?: string | undefined;
  /** What changes besides the branch: nothing, the index (when not given), or index and work tree. */
  mode?: "soft" | "mixed" | "hard" | undefined;
  /** Take only these out of the index; the branch stays. */
  files?: readonly string[] | undefined;
}

export interface RestoreOptions extends GitOptions {
  /** `["."]` for all. */
  files: readonly string[];
  /** A commit; the index, or HEAD when `staged`, when not given. */
  source?: string | undefined;
  staged?: boolean | undefined;
  /** True when not given, unless `staged`. */
  worktree?: boolean | undefined;
}

export interface TagOptions extends GitOptions {
  name: string;
  /** HEAD when not given. */
  ref?: string | undefined;
  /** Makes it an annotated tag. */
  message?: string | undefined;
  tagger?: GitPerson | undefined;
  force?: boolean | undefined;
}

export interface DeleteTagOptions extends GitOptions {
  name: string;
}

export interface ConfigOptions extends GitOptions {
  /** For the guest user, not for the repository. */
  global?: boolean | undefined;
}
