import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import {
  GitChange,
  GitConflict,
  GitOperation,
  GitRefResult,
  type GitService,
  type GitServiceCloneRequest,
  type GitServicePushRequest,
} from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";

const time = { seconds: 1_700_000_000n, nanos: 0 };
const signature = { name: "Ada", email: "ada@example.com", time };
const commit = {
  sha: "c0ffee",
  parents: ["beef"],
  tree: "7ree",
  author: signature,
  committer: signature,
  subject: "Say hello",
  message: "Say hello\n\nTwice",
  refs: ["main"],
};
const file = { path: "a", change: GitChange.MODIFIED, additions: 1, newMode: 0o100644 };
const patch = Buffer.from("+hello\n");

/** GitService with one answer to each question, and a note of every request. */
export class FakeGit implements Partial<ServiceImpl<typeof GitService>> {
  readonly requests: unknown[] = [];
  /** Names of methods whose call was cancelled. */
  readonly cancelled: string[] = [];
  /** What the next call fails with. */
  failure: Fault | undefined;

  clone = async function* (
    this: FakeGit,
    request: GitServiceCloneRequest,
    { signal }: HandlerContext,
  ) {
    this.#note(request);
    const counting = { phase: "Receiving objects", done: 1n, total: 2n };
    yield { event: { case: "progress" as const, value: counting } };
    yield { event: { case: "progress" as const, value: { message: "hello from the remote" } } };
    if (request.url === "https://example.com/hang") {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      this.cancelled.push("clone");
    }
    const done = { path: "/workspace/x", branch: "main", head: "c0ffee" };
    yield { event: { case: "done" as const, value: done } };
  }.bind(this);

  push = async function* (this: FakeGit, request: GitServicePushRequest) {
    this.#note(request);
    const update = {
      localRef: "refs/heads/main",
      remoteRef: "refs/heads/main",
      result: GitRefResult.FORCED,
    };
    yield { event: { case: "done" as const, value: { updates: [update] } } };
  }.bind(this);

  status = this.#answer({
    status: {
      head: "c0ffee",
      detached: true,
      operation: GitOperation.CHERRY_PICK,
      root: "/workspace/x",
      entries: [
        {
          path: "new",
          originalPath: "old",
          index: GitChange.RENAMED,
          worktree: GitChange.MODIFIED,
        },
        {
          path: "a",
          index: GitChange.CONFLICTED,
          worktree: GitChange.CONFLICTED,
          conflict: GitConflict.BOTH_MODIFIED,
        },
        { path: "sub", worktree: GitChange.MODIFIED, submodule: { commitChanged: true } },
      ],
    },
  });
  init = this.#answer({ path: "/workspace/x" });
  add = this.#answer({});
  commit = this.#answer({ commit });
  createBranch = this.#answer({ branch: { name: "topic", sha: "c0ffee" } });
  listBranches = this.#answer({ branches: [{ name: "main", current: true, ahead: 1 }] });
  deleteBranch = this.#answer({});
  checkout = this.#answer({ branch: "", head: "c0ffee" });
  diff = this.#answer({ diff: { files: [file], patch } });
  log = this.#answer({ commits: [commit] });
  show = this.#answer({ commit, diff: { files: [file], patch } });
  listRemotes = this.#answer({ remotes: [{ name: "origin", fetchUrl: "u", pushUrl: "u" }] });
  addRemote = this.#answer({});
  removeRemote = this.#answer({});
  saveStash = this.#answer({ saved: true });
  listStashes = this.#answer({ stashes: [{ index: 0, sha: "5a5", message: "aside", time }] });
  applyStash = this.#answer({});
  dropStash = this.#answer({});
  reset = this.#answer({ head: "c0ffee" });
  restore = this.#answer({});
  createTag = this.#answer({ tag: { name: "v1", annotated: true, tagger: signature } });
  listTags = this.#answer({ tags: [{ name: "v1", sha: "c0ffee" }] });
  deleteTag = this.#answer({});
  getConfig = this.#answer({
    entries: [
      { name: "user.name", value: "first", scope: "global" },
      { name: "user.name", value: "Ada", scope: "local" },
    ],
  });
  setConfig = this.#answer({});

  /** The fault of a push that would lose commits. */
  static rejected(): Fault {
    return new Fault(ErrorReason.GIT_PUSH_REJECTED, "git push failed: rejected", {
      remedy: "Pull first.",
      details: { command: "git push", exit_code: "1", stderr: "! [rejected] main -> main" },
    });
  }

  #answer<T>(answer: T): (request: unknown) => T {
    return (request) => {
      this.#note(request);
      return answer;
    };
  }

  #note(request: unknown): void {
    this.requests.push(request);
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }
}
