import { readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, ErrorReason } from "@nullspace/proto";
import { GitChange, GitConflict, GitOperation, GitResetMode } from "@nullspace/proto/agent";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import type { Host } from "../testing/dial.js";
import { hostGit } from "../testing/git-server.js";
import { reasonOf } from "../testing/output.js";

let agent: TestAgent;
let host: Host;
let count = 0;
/** A fresh repository with one commit for each test. */
let folder: string;
let place: { path: string; envs: Record<string, string> };
const author = { name: "Ada", email: "ada@example.com" };

beforeAll(async () => {
  agent = await startTestAgent();
  host = await agent.dial();
});

afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
});

beforeEach(async () => {
  folder = join(agent.folder, `repository ${++count}`);
  place = { path: folder, envs: { HOME: agent.folder } };
  await host.git.init({ place });
  await write("a.txt", "one\ntwo\nthree\n");
  await commit("first");
});

const write = (name: string, text: string) => writeFile(join(folder, name), text);

async function commit(message: string) {
  await host.git.add({ place, all: true });
  const { commit: made } = await host.git.commit({ place, message, author });
  return made;
}

const status = async () => (await host.git.status({ place })).status;

/** What a call fails with, as a client sees it. */
async function failure(call: Promise<unknown>) {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const found = ConnectError.from(error);
  const [info] = found.findDetails(ErrorInfoSchema);
  return { message: found.rawMessage, reason: info?.reason, details: info?.details ?? {} };
}

describe("status", () => {
  test("of a new repository has a branch and no commit", async () => {
    const path = join(agent.folder, "new");
    expect(await host.git.init({ place: { path }, initialBranch: "trunk" })).toMatchObject({
      path,
    });
    const { status: found } = await host.git.status({ place: { path } });
    expect(found).toMatchObject({ branch: "trunk", head: "", detached: false, root: path });
    const log = await failure(host.git.log({ place: { path } }));
    expect(log.reason).toBe(ErrorReason.GIT_NOT_FOUND);
  });

  test("tells every kind of change, with odd names as they are", async () => {
    await write("gone.txt", "x\n");
    await write("old name.txt", "a file\nthat is\nrenamed\n");
    await write("kind", "x\n");
    await commit("second");
    hostGit(folder, "mv", "old name.txt", "new\nname é.txt");
    await rm(join(folder, "gone.txt"));
    await write("a.txt", "changed\n");
    await rm(join(folder, "kind"));
    await symlink("a.txt", join(folder, "kind"));
    await write("staged.txt", "new\n");
    await host.git.add({ place, files: ["staged.txt"] });
    await write("untracked ?.txt", "new\n");
    const found = await status();
    expect(found).toMatchObject({ branch: "main", detached: false, truncated: false });
    expect(found?.entries.toSorted((a, b) => (a.path < b.path ? -1 : 1))).toMatchObject([
      { path: "a.txt", index: GitChange.UNMODIFIED, worktree: GitChange.MODIFIED },
      { path: "gone.txt", index: GitChange.UNMODIFIED, worktree: GitChange.DELETED },
      { path: "kind", worktree: GitChange.TYPE_CHANGED },
      { path: "new\nname é.txt", originalPath: "old name.txt", index: GitChange.RENAMED },
      { path: "staged.txt", index: GitChange.ADDED, worktree: GitChange.UNMODIFIED },
      { path: "untracked ?.txt", worktree: GitChange.UNTRACKED },
    ]);
  });

  test("tells a detached head", async () => {
    const { head } = await host.git.checkout({ place, ref: "HEAD", detach: true });
    expect(await status()).toMatchObject({ branch: "", detached: true, head });
  });

  test("tells submodules apart", async () => {
    const inner = join(agent.folder, `inner ${count}`);
    await host.git.init({ place: { path: inner } });
    hostGit(inner, "commit", "--allow-empty", "-m", "inner");
    hostGit(folder, "-c", "protocol.file.allow=always", "submodule", "add", inner, "sub");
    await commit("with a submodule");
    await writeFile(join(folder, "sub", "untracked"), "x");
    hostGit(join(folder, "sub"), "commit", "--allow-empty", "-m", "more");
    expect((await status())?.entries).toMatchObject([
      { path: "sub", submodule: { commitChanged: true, modified: false, untracked: true } },
    ]);
    const { diff } = await host.git.diff({ place });
    expect(diff?.files).toMatchObject([{ path: "sub", submodule: true }]);
  });

  test("of no repository says so", async () => {
    const call = failure(host.git.status({ place: { path: "/" } }));
    expect(await call).toMatchObject({
      reason: ErrorReason.GIT_NOT_A_REPOSITORY,
      details: { command: "git status", exit_code: "128" },
    });
  });
});

describe("commits", () => {
  test("carry author, message and parents as they were given", async () => {
    await write("a.txt", "changed\n");
    const message = "A subject with 'quotes'\n\nA body\n\n# no comment\nñ";
    const made = await commit(message);
    expect(made).toMatchObject({
      message,
      subject: "A subject with 'quotes'",
      author,
      committer: author,
      refs: ["main"],
    });
    const { commits } = await host.git.log({ place });
    expect(commits.map(({ subject }) => subject)).toEqual(["A subject with 'quotes'", "first"]);
    expect(commits[0]?.parents).toEqual([commits[1]?.sha]);
    expect((await host.git.log({ place, skip: 1, limit: 1 })).commits).toHaveLength(1);
    expect((await host.git.log({ place, files: ["none"] })).commits).toHaveLength(0);
    const amended = await host.git.commit({ place, amend: true, message: "other", author });
    expect(amended.commit?.parents).toEqual([commits[1]?.sha]);
  });

  test.each([
    ["nothing changed", {}, ErrorReason.GIT_NOTHING_TO_COMMIT],
    [
      "nobody known commits",
      { allowEmpty: true, author: undefined },
      ErrorReason.GIT_IDENTITY_UNKNOWN,
    ],
    ["an author without email", { author: { name: "Ada" } }, ErrorReason.INVALID_ARGUMENT],
  ])("are refused when %s", async (_, options, reason) => {
    // Where git cannot guess an identity either.
    const strict = {
      ...place,
      envs: { ...place.envs, ...config({ "user.useConfigOnly": "true" }) },
    };
    const call = host.git.commit({ place: strict, message: "x", author, ...options });
    expect(await reasonOf(call)).toBe(reason);
  });

  test("are shown with what they changed, the first one too", async () => {
    const first = await host.git.show({ place });
    expect(first.diff?.files).toMatchObject([
      { path: "a.txt", change: GitChange.ADDED, additions: 3, deletions: 0, newMode: 0o100644 },
    ]);
    await write("a.txt", "one\n2\nthree\n");
    await writeFile(join(folder, "binary"), Buffer.from([0, 1, 2, 255]));
    await commit("second");
    const { diff } = await host.git.show({ place, ref: "HEAD" });
    expect(diff?.files).toMatchObject([
      { path: "a.txt", change: GitChange.MODIFIED, additions: 1, deletions: 1, binary: false },
      { path: "binary", change: GitChange.ADDED, binary: true },
    ]);
    expect(Buffer.from(diff?.patch ?? []).toString()).toContain("-two\n+2\n");
  });
});

test("diffs of index, work tree and commits, and of renames", async () => {
  await write("a.txt", "one\ntwo\nthree\nfour\n");
  await host.git.add({ place, all: true });
  await write("a.txt", "one\ntwo\nthree\nfour\nfive\n");
  const lines = async (query: object) =>
    (await host.git.diff({ place, ...query })).diff?.files.map(({ additions }) => additions);
  expect(await lines({})).toEqual([1]);
  expect(await lines({ staged: true })).toEqual([1]);
  expect(await lines({ from: "HEAD" })).toEqual([2]);
  expect(await lines({ files: ["none"] })).toEqual([]);
  await commit("second");
  hostGit(folder, "mv", "a.txt", "b.txt");
  const { diff } = await host.git.diff({ place, staged: true, noPatch: true });
  expect(diff).toMatchObject({
    files: [{ path: "b.txt", originalPath: "a.txt", change: GitChange.RENAMED }],
    patch: new Uint8Array(),
  });
});

test("branches are made, listed, checked out and deleted", async () => {
  const { branch } = await host.git.createBranch({ place, name: "topic/one" });
  expect(branch).toMatchObject({ name: "topic/one", current: false, subject: "first" });
  expect(await host.git.checkout({ place, ref: "topic/one" })).toMatchObject({
    branch: "topic/one",
  });
  await host.git.checkout({ place, create: "two" });
  await write("b.txt", "x");
  await commit("on two");
  await host.git.checkout({ place, ref: "main" });
  const { branches } = await host.git.listBranches({ place });
  expect(branches.map(({ name, current }) => [name, current])).toEqual([
    ["main", true],
    ["topic/one", false],
    ["two", false],
  ]);
  expect(await reasonOf(host.git.deleteBranch({ place, name: "two" }))).toBe(
    ErrorReason.GIT_FAILED,
  );
  await host.git.deleteBranch({ place, name: "two", force: true });
  const again = host.git.createBranch({ place, name: "topic/one" });
  expect(await reasonOf(again)).toBe(ErrorReason.GIT_EXISTS);
  const calls = [
    host.git.deleteBranch({ place, name: "none" }),
    host.git.checkout({ place, ref: "none" }),
    host.git.log({ place, ref: "none" }),
    host.git.diff({ place, from: "none" }),
  ];
  expect(await Promise.all(calls.map(reasonOf))).toEqual(
    calls.map(() => ErrorReason.GIT_NOT_FOUND),
  );
});

test("no name is taken for an option", async () => {
  const calls = [
    host.git.checkout({ place, ref: "--orphan=x" }),
    host.git.createBranch({ place, name: "-d" }),
    host.git.log({ place, ref: "--output=/tmp/x" }),
    host.git.diff({ place, from: "--output=/tmp/x" }),
    host.git.createTag({ place, name: "-d" }),
    host.git.addRemote({ place, name: "x", url: "--upload-pack=touch /tmp/x" }),
    host.git.setConfig({ place, name: "--global", value: "x" }),
  ];
  expect(await Promise.all(calls.map(reasonOf))).toEqual(
    calls.map(() => ErrorReason.INVALID_ARGUMENT),
  );
});

test("conflicts are told, with who did what, and ended by reset", async () => {
  await host.git.checkout({ place, create: "other" });
  await write("a.txt", "theirs\n");
  await write("both.txt", "theirs\n");
  await commit("theirs");
  await host.git.checkout({ place, ref: "main" });
  await write("a.txt", "ours\n");
  await write("both.txt", "ours\n");
  await commit("ours");
  const pulled = await failure(drain(host.git.pull({ place, remote: ".", branch: "other" })));
  expect(pulled.reason).toBe(ErrorReason.GIT_IDENTITY_UNKNOWN);
  const merging = {
    ...place,
    envs: { ...place.envs, ...config({ "user.name": "A", "user.email": "a@b" }) },
  };
  const conflict = await failure(
    drain(host.git.pull({ place: merging, remote: ".", branch: "other" })),
  );
  expect(conflict.reason).toBe(ErrorReason.GIT_CONFLICT);
  expect(JSON.parse(conflict.details["conflicts"] ?? "")).toEqual(["a.txt", "both.txt"]);
  expect(await status()).toMatchObject({
    operation: GitOperation.MERGE,
    entries: [
      { path: "a.txt", conflict: GitConflict.BOTH_MODIFIED, index: GitChange.CONFLICTED },
      { path: "both.txt", conflict: GitConflict.BOTH_ADDED },
    ],
  });
  expect(await reasonOf(host.git.commit({ place, message: "x", author }))).toBe(
    ErrorReason.GIT_CONFLICT,
  );
  await host.git.reset({ place, mode: GitResetMode.HARD });
  const after = await status();
  expect(after?.entries).toEqual([]);
  expect(after?.operation).toBe(GitOperation.UNSPECIFIED);
});

test("changes are stashed, listed, applied and dropped", async () => {
  expect(await host.git.saveStash({ place: named() })).toMatchObject({ saved: false });
  await write("a.txt", "changed\n");
  await write("new.txt", "new\n");
  const stash = { place: named(), message: "aside", includeUntracked: true };
  expect(await host.git.saveStash(stash)).toMatchObject({ saved: true });
  expect(await status()).toMatchObject({ entries: [], stashes: 1 });
  const { stashes } = await host.git.listStashes({ place });
  expect(stashes).toMatchObject([{ index: 0, message: "On main: aside" }]);
  await host.git.applyStash({ place: named() });
  expect((await status())?.entries).toHaveLength(2);
  await host.git.reset({ place, mode: GitResetMode.HARD });
  await rm(join(folder, "new.txt"));
  await host.git.applyStash({ place: named(), pop: true });
  expect((await status())?.stashes).toBe(0);
  expect(await reasonOf(host.git.dropStash({ place }))).toBe(ErrorReason.GIT_NOT_FOUND);
});

test("paths are restored and taken out of the index", async () => {
  await write("a.txt", "changed\n");
  await host.git.add({ place, files: ["a.txt"] });
  await host.git.reset({ place, files: ["a.txt"] });
  expect((await status())?.entries).toMatchObject([{ worktree: GitChange.MODIFIED }]);
  await host.git.add({ place, files: ["a.txt"] });
  await host.git.restore({ place, files: ["a.txt"], staged: true, worktree: true });
  expect((await status())?.entries).toEqual([]);
  expect(await readFile(join(folder, "a.txt"), "utf8")).toBe("one\ntwo\nthree\n");
  const first = (await host.git.log({ place })).commits[0]?.sha;
  await write("b.txt", "x");
  await commit("second");
  expect(await host.git.reset({ place, ref: "HEAD~1", mode: GitResetMode.SOFT })).toMatchObject({
    head: first,
  });
  expect((await status())?.entries).toMatchObject([{ index: GitChange.ADDED }]);
});

test("tags are made, listed and deleted", async () => {
  await host.git.createTag({ place, name: "light" });
  const { tag } = await host.git.createTag({
    place,
    name: "v1",
    message: "The first\n\nof all",
    tagger: author,
  });
  const sha = (await host.git.log({ place })).commits[0]?.sha;
  expect(tag).toMatchObject({
    annotated: true,
    message: "The first\n\nof all",
    tagger: author,
    sha,
  });
  const { tags } = await host.git.listTags({ place });
  expect(tags).toMatchObject([{ name: "light", annotated: false, sha }, { name: "v1" }]);
  await host.git.deleteTag({ place, name: "v1" });
  expect(await reasonOf(host.git.deleteTag({ place, name: "v1" }))).toBe(ErrorReason.GIT_NOT_FOUND);
});

test("configuration is set, read and removed; passwords in it are not told", async () => {
  await host.git.setConfig({ place, name: "user.signingKey", value: "with\nnewline" });
  const read = async (name: string, options = {}) =>
    (await host.git.getConfig({ place, name, ...options })).entries;
  expect(await read("user.signingkey")).toMatchObject([
    { name: "user.signingkey", value: "with\nnewline", scope: "local" },
  ]);
  expect(await read("user.signingkey", { global: true })).toEqual([]);
  await host.git.setConfig({ place, name: "user.signingkey" });
  await host.git.setConfig({ place, name: "user.signingkey" });
  expect(await read("user.signingkey")).toEqual([]);
  hostGit(folder, "remote", "add", "leaky", "https://me:hunter2@example.com/x");
  expect(JSON.stringify(await read(""))).not.toContain("hunter2");
  const { remotes } = await host.git.listRemotes({ place });
  expect(remotes).toMatchObject([{ name: "leaky", fetchUrl: "https://me:***@example.com/x" }]);
});

test("remotes are added, replaced and removed", async () => {
  await host.git.addRemote({ place, name: "origin", url: "https://example.com/a" });
  const again = { place, name: "origin", url: "https://example.com/b" };
  expect(await reasonOf(host.git.addRemote(again))).toBe(ErrorReason.GIT_EXISTS);
  await host.git.addRemote({ ...again, replace: true });
  const { remotes } = await host.git.listRemotes({ place });
  expect(remotes).toMatchObject([{ name: "origin", fetchUrl: "https://example.com/b" }]);
  await host.git.removeRemote({ place, name: "origin" });
  expect(await reasonOf(host.git.removeRemote({ place, name: "origin" }))).toBe(
    ErrorReason.GIT_NOT_FOUND,
  );
  const leaky = host.git.addRemote({ place, name: "x", url: "https://u:secret@example.com" });
  expect((await failure(leaky)).reason).toBe(ErrorReason.INVALID_ARGUMENT);
});

/** Runs as somebody whom git knows. */
function named() {
  return {
    ...place,
    envs: { ...place.envs, ...config({ "user.name": "A", "user.email": "a@b" }) },
  };
}

function config(values: Record<string, string>): Record<string, string> {
  const names = Object.entries(values).flatMap(([key, value], i): [string, string][] => [
    [`GIT_CONFIG_KEY_${i}`, key],
    [`GIT_CONFIG_VALUE_${i}`, value],
  ]);
  const entries = new Map([["GIT_CONFIG_COUNT", String(Object.keys(values).length)], ...names]);
  return Object.fromEntries<string>(entries);
}

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

test("a folder that is reserved is made no repository", async () => {
  const call = host.git.init({ place: { path: "/workspace/.nullspace/x" } });
  expect(await reasonOf(call)).toBe(ErrorReason.RESERVED_PATH);
});

test("git is not among the processes that clients are told of, nor pushes them out", async () => {
  const events = host.process.start({ command: "exit 5", cwd: "/" });
  await drain(events);
  for (let i = 0; i < 40; i++) await status();
  const { processes } = await host.process.list({});
  expect(processes.map(({ command, exit }) => [command, exit?.exitCode])).toEqual([["exit 5", 5]]);
});
