import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { CancelledError, GitError } from "../errors.js";
import type { Machine } from "../machine.js";
import { Nullspace } from "../nullspace.js";
import { FakeGit } from "../testing/fake-git.js";
import { FakeServer } from "../testing/fake-server.js";
import type { GitProgress } from "./options.js";

let server: FakeServer;
let client: Nullspace;
let machine: Machine;
beforeAll(async () => {
  server = await FakeServer.start();
  client = new Nullspace(server);
  machine = await client.machines.create();
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  server.git.requests.length = 0;
});

const path = "/workspace/x";
const url = "https://example.com/x.git";

test("clone tells progress and gives the folder", async () => {
  const progress: GitProgress[] = [];
  const auth = { username: "ada", password: "secret" };
  const cloned = await machine.git.clone({
    url,
    depth: 1,
    auth,
    envs: { A: "b" },
    onProgress: (step) => progress.push(step),
  });
  expect(cloned).toEqual({ path, branch: "main", head: "c0ffee" });
  expect(progress).toEqual([
    { phase: "Receiving objects", done: 1, total: 2, message: "" },
    { phase: "", done: 0, total: undefined, message: "hello from the remote" },
  ]);
  expect(server.git.requests).toMatchObject([
    {
      url,
      depth: 1,
      place: { path: "", envs: { A: "b" } },
      credentials: { credentials: { case: "password", value: auth } },
    },
  ]);
});

test("a key is a credential too", async () => {
  await machine.git.push({
    path,
    forceWithLease: true,
    auth: { privateKey: "k", knownHosts: "h" },
  });
  const value = { privateKey: "k", passphrase: "", knownHosts: "h" };
  expect(server.git.requests).toMatchObject([
    { forceWithLease: true, credentials: { credentials: { case: "sshKey", value } } },
  ]);
});

test("a cancelled call ends git", async () => {
  const controller = new AbortController();
  const call = machine.git.clone({
    url: "https://example.com/hang",
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });
  await expect(call).rejects.toThrow(CancelledError);
  await expect.poll(() => server.git.cancelled).toEqual(["clone"]);
});

test("status tells detached heads, operations, renames, conflicts and submodules", async () => {
  expect(await machine.git.status({ path })).toMatchObject({
    branch: undefined,
    detached: true,
    head: "c0ffee",
    operation: "cherry-pick",
    root: path,
    clean: false,
    upstream: undefined,
    entries: [
      { path: "new", originalPath: "old", index: "renamed", worktree: "modified", staged: true },
      { path: "a", index: "conflicted", conflict: "both-modified", staged: false },
      { path: "sub", submodule: { commitChanged: true, modified: false, untracked: false } },
    ],
    conflicts: [{ path: "a" }],
  });
});

test("every result is in the words of the SDK", async () => {
  const { git } = machine;
  const author = { name: "Ada", email: "ada@example.com" };
  const commit = await git.commit({ path, message: "Say hello", author });
  expect(commit).toMatchObject({ sha: "c0ffee", parents: ["beef"], subject: "Say hello", author });
  expect(commit.author.time).toEqual(new Date(1_700_000_000_000));
  expect(await git.log({ path, ref: "a..b" })).toEqual([commit]);
  const { diff } = await git.show({ path });
  expect(diff).toMatchObject({ patch: "+hello\n", files: [{ path: "a", change: "modified" }] });
  expect(await git.diff({ path, patch: false })).toEqual(diff);
  expect(await git.init({ path, bare: true })).toBe(path);
  expect(await git.branch({ path, name: "topic" })).toMatchObject({ name: "topic" });
  expect(await git.listBranches({ path })).toMatchObject([{ current: true, ahead: 1 }]);
  expect(await git.checkout({ path, ref: "v1" })).toEqual({ branch: undefined, head: "c0ffee" });
  expect(await git.push({ path })).toMatchObject([
    { result: "forced", localRef: "refs/heads/main" },
  ]);
  expect(await git.remotes.list({ path })).toMatchObject([{ name: "origin" }]);
  expect(await git.stash.save({ path, message: "aside" })).toBe(true);
  expect(await git.stash.list({ path })).toMatchObject([{ index: 0, message: "aside" }]);
  expect(await git.reset({ path, mode: "hard" })).toBe("c0ffee");
  expect(await git.tag({ path, name: "v1", message: "x" })).toMatchObject({ tagger: author });
  expect(await git.listTags({ path })).toMatchObject([{ name: "v1", tagger: undefined }]);
  expect(await git.config.get("user.name", { path })).toBe("Ada");
  expect(await git.config.list({ path })).toHaveLength(2);
  server.git.requests.length = 0;
  await git.stash.pop({ path });
  await git.stash.apply({ path, index: 2 });
  await git.config.set("a.b", "");
  await git.config.unset("a.b", { global: true });
  expect(server.git.requests).toMatchObject([
    { pop: true, index: 0 },
    { pop: false, index: 2 },
    { name: "a.b", value: "", global: false },
    { name: "a.b", global: true },
  ]);
  expect(server.git.requests.at(-1)).not.toHaveProperty("value", "");
  await git.add({ path, files: ["a"] });
  await git.restore({ path, files: ["."] });
  await git.deleteBranch({ path, name: "topic", force: true });
  await git.deleteTag({ path, name: "v1" });
  await git.stash.drop({ path });
  await git.remotes.add({ path, name: "origin", url });
  await git.remotes.remove({ path, name: "origin" });
});

test("a failure is a GitError with what git said", async () => {
  server.git.failure = FakeGit.rejected();
  const error: unknown = await machine.git.push({ path }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(GitError);
  expect(error).toMatchObject({
    name: "GitError",
    reason: "GIT_PUSH_REJECTED",
    code: "failed_precondition",
    exitCode: 1,
    command: "git push",
    stderr: "! [rejected] main -> main",
    conflicts: [],
  });
  server.git.failure = new Fault(ErrorReason.GIT_CONFLICT, "git stash failed: conflict", {
    details: { conflicts: '["a","b\\n"]' },
  });
  await expect(machine.git.stash.apply({ path })).rejects.toMatchObject({
    name: "GitError",
    conflicts: ["a", "b\n"],
    exitCode: undefined,
  });
  // Not to be tried again by itself, whatever its code says.
  server.git.failure = new Fault(ErrorReason.GIT_REMOTE_UNREACHABLE, "down");
  await expect(machine.git.clone({ url })).rejects.toMatchObject({
    name: "GitError",
    code: "unavailable",
    retryable: true,
  });
});
