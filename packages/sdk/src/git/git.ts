import { GitResetMode } from "@nullspace/proto/agent";
import type { AgentConnection } from "../connection.js";
import { GitConfig } from "./config.js";
import { branchOf, commitOf, diffOf, refUpdateOf, statusOf, tagOf } from "./from-message.js";
import type * as options from "./options.js";
import { GitRemotes } from "./remotes.js";
import { credentialsOf, identityOf, placeOf, withProgress } from "./request.js";
import type * as results from "./results.js";
import { GitStashes } from "./stash.js";

const RESET_MODES = {
  soft: GitResetMode.SOFT,
  mixed: GitResetMode.MIXED,
  hard: GitResetMode.HARD,
};

/** A call that reads only may be made again. */
const READS = { idempotent: true };

/**
 * Git in one machine: the machine's own git, with typed results. Every call
 * takes `path`, a folder of the repository, and throws {@link GitError} when git
 * fails.
 *
 * @example
 * ```ts
 * const { path } = await machine.git.clone({ url, auth: { username: "ada", password: token } });
 * await machine.files.write(`${path}/notes.md`, "Hello\n");
 * await machine.git.add({ path, all: true });
 * await machine.git.commit({ path, message: "Say hello", author });
 * await machine.git.push({ path, auth: { username: "ada", password: token } });
 * ```
 */
export class Git {
  /** The remotes of a repository. */
  readonly remotes: GitRemotes;
  /** Changes that are put aside. */
  readonly stash: GitStashes;
  /** Configuration, of a repository or of the guest user. */
  readonly config: GitConfig;
  readonly #agent: AgentConnection;

  /** @internal */
  constructor(agent: AgentConnection) {
    this.#agent = agent;
    this.remotes = new GitRemotes(agent);
    this.stash = new GitStashes(agent);
    this.config = new GitConfig(agent);
  }

  /**
   * Copies a repository into a folder of the machine, and says which.
   *
   * @throws GitError `GIT_AUTH_FAILED`, `GIT_REMOTE_NOT_FOUND`, `GIT_REMOTE_UNREACHABLE`,
   *   `GIT_NOT_FOUND` (no such branch), `GIT_EXISTS` (the folder is not empty)
   * @throws InvalidArgumentError for a URL that holds a password: use `auth`
   */
  async clone(given: options.CloneOptions): Promise<results.GitHead & { path: string }> {
    const { url, branch = "", depth = 0, recurseSubmodules = false, bare = false } = given;
    const request = {
      place: placeOf(given),
      url,
      branch,
      depth,
      recurseSubmodules,
      bare,
      credentials: credentialsOf(given.auth),
    };
    const done = await withProgress(this.#agent, given, (attempt) =>
      this.#agent.git.clone(request, attempt),
    );
    return { path: done.path, ...headOf(done) };
  }

  /** Makes an empty repository, and the folder; gives the folder's absolute path. */
  async init(given: options.InitOptions = {}): Promise<string> {
    const { initialBranch = "", bare = false } = given;
    const request = { place: placeOf(given), initialBranch, bare };
    const call = this.#agent.unary(
      given,
      (attempt) => this.#agent.git.init(request, attempt),
      READS,
    );
    return (await call).path;
  }

  /**
   * Tells the branch and every path that is not as it was committed.
   *
   * @throws GitError `GIT_NOT_A_REPOSITORY`
   */
  async status(given: options.StatusOptions = {}): Promise<results.GitStatus> {
    const request = { place: placeOf(given), ignored: given.ignored ?? false };
    const { status } = await this.#agent.unary(
      given,
      (attempt) => this.#agent.git.status(request, attempt),
      READS,
    );
    return statusOf(status);
  }

  /** Puts changes of the work tree into the index. */
  async add(given: options.AddOptions): Promise<void> {
    const { files = [], all = false, force = false } = given;
    const request = { place: placeOf(given), files: [...files], all, force };
    await this.#agent.unary(given, (attempt) => this.#agent.git.add(request, attempt), READS);
  }

  /**
   * Records what is in the index.
   *
   * @throws GitError `GIT_NOTHING_TO_COMMIT`, `GIT_IDENTITY_UNKNOWN`, `GIT_CONFLICT`
   */
  async commit(given: options.CommitOptions): Promise<results.GitCommit> {
    const { message = "", all = false, amend = false, allowEmpty = false } = given;
    const author = identityOf(given.author);
    const place = placeOf(given);
    const request = { place, message, all, amend, allowEmpty, ...(author && { author }) };
    const { commit } = await this.#agent.unary(given, (attempt) =>
      this.#agent.git.commit(request, attempt),
    );
    return commitOf(commit);
  }

  /**
   * Makes a branch; {@link checkout} with `create` makes one and works on it.
   *
   * @throws GitError `GIT_EXISTS`, `GIT_NOT_FOUND`
   */
  async branch(given: options.BranchOptions): Promise<results.GitBranch> {
    const { name, start = "", force = false } = given;
    const request = { place: placeOf(given), name, start, force };
    const { branch } = await this.#agent.unary(given, (attempt) =>
      this.#agent.git.createBranch(request, attempt),
    );
    return branchOf(branch);
  }

  /** Lists branches, by name. */
  async listBranches(given: options.ListBranchesOptions = {}): Promise<results.GitBranch[]> {
    const request = { place: placeOf(given), remote: given.remote ?? false };
    const { branches } = await this.#agent.unary(
      given,
      (attempt) => this.#agent.git.listBranches(request, attempt),
      READS,
    );
    return branches.map(branchOf);
  }

  /**
   * Deletes a branch whose commits are elsewhere as well, or with `force` any.
   *
   * @throws GitError `GIT_NOT_FOUND`
   */
  async deleteBranch(given: options.DeleteBranchOptions): Promise<void> {
    const request = { place: placeOf(given), name: given.name, force: given.force ?? false };
    await this.#agent.unary(given, (attempt) => this.#agent.git.deleteBranch(request, attempt));
  }

  /**
   * Makes a branch, tag or commit the one that is worked on. A tag or commit detaches HEAD.
   *
   * @throws GitError `GIT_NOT_FOUND`, `GIT_DIRTY`, `GIT_EXISTS`
   */
  async checkout(given: options.CheckoutOptions): Promise<results.GitHead> {
    const { ref = "", create = "", detach = false, force = false } = given;
    const request = { place: placeOf(given), ref, create, detach, force };
    const call = this.#agent.unary(given, (attempt) => this.#agent.git.checkout(request, attempt));
    return headOf(await call);
  }

  /** Tells what differs between index, work tree and commits. Of the patch at most 4 MiB. */
  async diff(given: options.DiffOptions = {}): Promise<results.GitDiff> {
    const { from = "", to = "", staged = false, files = [], contextLines, patch = true } = given;
    const request = {
      place: placeOf(given),
      from,
      to,
      staged,
      files: [...files],
      noPatch: !patch,
      ...(contextLines !== undefined && { contextLines }),
    };
    const { diff } = await this.#agent.unary(
      given,
      (attempt) => this.#agent.git.diff(request, attempt),
      READS,
    );
    return diffOf(diff);
  }

  /**
   * Tells commits, newest first.
   *
   * @throws GitError `GIT_NOT_FOUND`, also before the first commit
   */
  async log(given: options.LogOptions = {}): Promise<results.GitCommit[]> {
    const { ref = "", limit = 0, skip = 0, files = [] } = given;
    const request = { place: placeOf(given), ref, limit, skip, files: [...files] };
    const { commits } = await this.#agent.unary(
      given,
      (attempt) => this.#agent.git.log(request, attempt),
      READS,
    );
    return commits.map(commitOf);
  }

  /** Tells one commit and what it changed, against its first parent. */
  async show(
    given: options.ShowOptions = {},
  ): Promise<{ commit: results.GitCommit; diff: results.GitDiff }> {
    const request = { place: placeOf(given), ref: given.ref ?? "" };
    const { commit, diff } = await this.#agent.unary(
      given,
      (attempt) => this.#agent.git.show(request, attempt),
      READS,
    );
    return { commit: commitOf(commit), diff: diffOf(diff) };
  }

  /**
   * Takes branches and tags of a remote, and tells those that are new or have changed.
   *
   * @throws GitError as {@link clone}
   */
  async fetch(given: options.FetchOptions = {}): Promise<results.GitRefUpdate[]> {
    const { remote = "", refs = [], prune = false, tags = false, depth = 0 } = given;
    const request = {
      place: placeOf(given),
      remote,
      refs: [...refs],
      prune,
      tags,
      depth,
      credentials: credentialsOf(given.auth),
    };
    const { updates } = await withProgress(this.#agent, given, (attempt) =>
      this.#agent.git.fetch(request, attempt),
    );
    return updates.map(refUpdateOf);
  }

  /**
   * Fetches, and joins the remote's branch into the one that is worked on.
   *
   * @throws GitError `GIT_CONFLICT` with the paths in `conflicts`, `GIT_DIRTY`, and as {@link clone}
   */
  async pull(given: options.PullOptions = {}): Promise<{ before: string; head: string }> {
    const { remote = "", branch = "", rebase = false, fastForwardOnly = false } = given;
    const request = {
      place: placeOf(given),
      remote,
      branch,
      rebase,
      fastForwardOnly,
      credentials: credentialsOf(given.auth),
    };
    const { before, head } = await withProgress(this.#agent, given, (attempt) =>
      this.#agent.git.pull(request, attempt),
    );
    return { before, head };
  }

  /**
   * Gives branches and tags to a remote, and tells what became of each.
   *
   * @throws GitError `GIT_PUSH_REJECTED` when the remote has commits that this would lose,
   *   and as {@link clone}
   */
  async push(given: options.PushOptions = {}): Promise<results.GitRefUpdate[]> {
    const { remote = "", refs = [], forceWithLease = false, force = false } = given;
    const { setUpstream = false, tags = false } = given;
    const request = {
      place: placeOf(given),
      remote,
      refs: [...refs],
      forceWithLease,
      force,
      setUpstream,
      tags,
      delete: given.delete ?? false,
      credentials: credentialsOf(given.auth),
    };
    const { updates } = await withProgress(this.#agent, given, (attempt) =>
      this.#agent.git.push(request, attempt),
    );
    return updates.map(refUpdateOf);
  }

  /** Moves the branch, or with `files` takes paths out of the index; gives the commit that is HEAD then. */
  async reset(given: options.ResetOptions = {}): Promise<string> {
    const { ref = "", mode = "mixed", files = [] } = given;
    const place = placeOf(given);
    const request = { place, ref, mode: RESET_MODES[mode], files: [...files] };
    const call = this.#agent.unary(given, (attempt) => this.#agent.git.reset(request, attempt));
    return (await call).head;
  }

  /** Makes paths as they were: the changes in them are lost. */
  async restore(given: options.RestoreOptions): Promise<void> {
    const { files, source = "", staged = false, worktree = false } = given;
    const request = { place: placeOf(given), files: [...files], source, staged, worktree };
    await this.#agent.unary(given, (attempt) => this.#agent.git.restore(request, attempt), READS);
  }

  /**
   * Makes a tag; with `message` an annotated one.
   *
   * @throws GitError `GIT_EXISTS`, `GIT_NOT_FOUND`
   */
  async tag(given: options.TagOptions): Promise<results.GitTag> {
    const { name, ref = "", message = "", force = false } = given;
    const tagger = identityOf(given.tagger);
    const place = placeOf(given);
    const request = { place, name, ref, message, force, ...(tagger && { tagger }) };
    const call = this.#agent.unary(given, (attempt) => this.#agent.git.createTag(request, attempt));
    return tagOf((await call).tag);
  }

  /** Lists tags, by name. */
  async listTags(given: options.GitOptions = {}): Promise<results.GitTag[]> {
    const { tags } = await this.#agent.unary(
      given,
      (attempt) => this.#agent.git.listTags({ place: placeOf(given) }, attempt),
      READS,
    );
    return tags.map(tagOf);
  }

  /**
   * Deletes a tag.
   *
   * @throws GitError `GIT_NOT_FOUND`
   */
  async deleteTag(given: options.DeleteTagOptions): Promise<void> {
    const request = { place: placeOf(given), name: given.name };
    await this.#agent.unary(given, (attempt) => this.#agent.git.deleteTag(request, attempt));
  }
}

function headOf({ branch, head }: { branch: string; head: string }): results.GitHead {
  return { branch: branch || undefined, head: head || undefined };
}
