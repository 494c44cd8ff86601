import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, ErrorReason } from "@nullspace/proto";
import { type GitProgress, GitRefResult } from "@nullspace/proto/agent";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import type { Host } from "../testing/dial.js";
import { type GitServer, hostGit, serveDaemon, serveHttp } from "../testing/git-server.js";

const PASSWORD = "s3cret pa$$word/with@odd:signs";
const LOGIN = `ada:${PASSWORD}`;
const credentials = {
  credentials: { case: "password" as const, value: { username: "ada", password: PASSWORD } },
};
const wrong = {
  credentials: { case: "password" as const, value: { username: "ada", password: "wr0ng-one" } },
};

let agent: TestAgent;
let host: Host;
let served: string;
let server: GitServer;
let count = 0;
let work: string;
let place: { path: string; envs: Record<string, string> };
/** Called while the server has a request. */
let onRequest: () => void = () => {};

beforeAll(async () => {
  agent = await startTestAgent();
  host = await agent.dial();
  served = join(agent.folder, "served");
  mkdirSync(served);
  server = await serveHttp({
    folder: served,
    login: LOGIN,
    onRequest: () => {
      onRequest();
      return false;
    },
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
});

/** A repository on the server with one commit, and a name for its clone. */
beforeEach(() => {
  onRequest = () => {};
  const name = `r${++count}`;
  const source = join(agent.folder, `${name}-source`);
  mkdirSync(source);
  hostGit(source, "init", "-q", "-b", "main");
  writeFileSync(join(source, "a.txt"), "one\n");
  hostGit(source, "add", "--all");
  hostGit(source, "commit", "-q", "-m", "first");
  hostGit(served, "clone", "-q", "--bare", source, `${name}.git`);
  hostGit(join(served, `${name}.git`), "config", "http.receivepack", "true");
  work = join(agent.folder, `${name}-work`);
  const identity = { GIT_AUTHOR_NAME: "A", GIT_AUTHOR_EMAIL: "a@b" };
  const committer = { GIT_COMMITTER_NAME: "A", GIT_COMMITTER_EMAIL: "a@b" };
  place = { path: work, envs: { HOME: agent.folder, ...identity, ...committer } };
});

const url = () => `${server.url}/r${count}.git`;

type Event<T> =
  | { case: "progress"; value: GitProgress }
  | { case: "done"; value: T }
  | { case: undefined; value?: undefined };

/** Reads a stream to its result. */
async function finish<T>(stream: AsyncIterable<{ event: Event<T> }>) {
  const progress: GitProgress[] = [];
  let done: T | undefined;
  for await (const { event } of stream) {
    if (event.case === "progress") progress.push(event.value);
    if (event.case === "done") done = event.value;
  }
  return { progress, done };
}

async function failure(call: Promise<unknown>) {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const found = ConnectError.from(error);
  const [info] = found.findDetails(ErrorInfoSchema);
  return { reason: info?.reason, text: `${found.rawMessage} ${JSON.stringify(info?.details)}` };
}

const clone = (options = {}) =>
  finish(host.git.clone({ place, url: url(), credentials, ...options }));

/** Another clone, pushed to behind our back. */
function pushFromElsewhere(file: string, text: string, ...options: string[]): void {
  const other = join(agent.folder, `other-${++count}`);
  count--;
  const repository = join(served, `r${count}.git`);
  hostGit(agent.folder, "clone", "-q", repository, other);
  writeFileSync(join(other, file), text);
  hostGit(other, "add", "--all");
  hostGit(other, "commit", "-q", "-m", "elsewhere", ...options);
  hostGit(other, "push", "-q", "--force", "origin", "HEAD");
  execFileSync("rm", ["-r", other]);
}

function commit(file: string, text: string): void {
  writeFileSync(join(work, file), text);
  hostGit(work, "add", "--all");
  hostGit(work, "commit", "-q", "-m", file);
}

describe("over http with a password", () => {
  test("clones with progress, and tells where it is", async () => {
    const { progress, done } = await clone();
    expect(done).toMatchObject({
      path: work,
      branch: "main",
      head: hostGit(work, "rev-parse", "HEAD"),
    });
    expect(progress.map(({ phase }) => phase)).toContain("Receiving objects");
    const last = progress.findLast(({ phase }) => phase === "Receiving objects");
    expect(last).toMatchObject({ done: 3n, total: 3n });
  });

  test("the branch, the depth and the folder's name are as asked for", async () => {
    pushFromElsewhere("b.txt", "x");
    hostGit(join(served, `r${count}.git`), "branch", "topic", "HEAD~1");
    const shallow = await clone({ depth: 1 });
    expect(shallow.done?.branch).toBe("main");
    const topic = await clone({ place: { ...place, path: `${work}-2` }, branch: "topic" });
    expect(topic.done?.branch).toBe("topic");
    const none = await failure(clone({ place: { ...place, path: `${work}-3` }, branch: "none" }));
    expect(none.reason).toBe(ErrorReason.GIT_NOT_FOUND);
    const there = await failure(clone());
    expect(there.reason).toBe(ErrorReason.GIT_EXISTS);
  });

  test("pushes, fetches and pulls, and tells what became of each ref", async () => {
    await clone();
    commit("b.txt", "mine\n");
    const pushed = await finish(host.git.push({ place, credentials }));
    expect(pushed.done?.updates).toMatchObject([
      { localRef: "refs/heads/main", remoteRef: "refs/heads/main", result: GitRefResult.UPDATED },
    ]);
    const again = await finish(host.git.push({ place, credentials, refs: ["main:copy", "main"] }));
    expect(again.done?.updates.map(({ result }) => result).toSorted()).toEqual([
      GitRefResult.UP_TO_DATE,
      GitRefResult.NEW,
    ]);
    pushFromElsewhere("c.txt", "theirs\n");
    const fetched = await finish(host.git.fetch({ place, credentials }));
    expect(fetched.done?.updates).toMatchObject([
      { localRef: "refs/remotes/origin/main", result: GitRefResult.UPDATED },
    ]);
    expect((await host.git.status({ place })).status).toMatchObject({
      upstream: "origin/main",
      upstreamKnown: true,
      ahead: 0,
      behind: 1,
    });
    const pulled = await finish(host.git.pull({ place, credentials }));
    expect(pulled.done?.head).toBe(hostGit(work, "rev-parse", "origin/main"));
    expect(pulled.done?.before).not.toBe(pulled.done?.head);
    const removed = await finish(
      host.git.push({ place, credentials, refs: ["copy"], delete: true }),
    );
    expect(removed.done?.updates).toMatchObject([{ result: GitRefResult.DELETED }]);
  });

  test("a push that would lose commits is refused, until it is forced", async () => {
    await clone();
    pushFromElsewhere("a.txt", "theirs\n", "--amend");
    commit("b.txt", "mine\n");
    const push = (options = {}) => finish(host.git.push({ place, credentials, ...options }));
    expect((await failure(push())).reason).toBe(ErrorReason.GIT_PUSH_REJECTED);
    // The lease is on what was fetched last, which the remote no longer has.
    const leased = await failure(push({ forceWithLease: true }));
    expect(leased.reason).toBe(ErrorReason.GIT_PUSH_REJECTED);
    const behind = await failure(
      finish(host.git.pull({ place, credentials, fastForwardOnly: true })),
    );
    expect(behind.reason).toBe(ErrorReason.GIT_CONFLICT);
    expect((await push({ force: true })).done?.updates).toMatchObject([
      { result: GitRefResult.FORCED },
    ]);
  });

  test("a pull that conflicts names the files; one over own changes is refused", async () => {
    await clone();
    pushFromElsewhere("a.txt", "theirs\n");
    writeFileSync(join(work, "a.txt"), "not committed\n");
    const dirty = await failure(finish(host.git.pull({ place, credentials })));
    expect(dirty.reason).toBe(ErrorReason.GIT_DIRTY);
    commit("a.txt", "mine\n");
    for (const rebase of [false, true]) {
      const conflict = await failure(finish(host.git.pull({ place, credentials, rebase })));
      expect(conflict.reason).toBe(ErrorReason.GIT_CONFLICT);
      expect(conflict.text).toContain("a.txt");
      hostGit(work, rebase ? "rebase" : "merge", "--abort");
    }
  });

  test("without credentials, or with others, it is refused", async () => {
    const none = await failure(clone({ credentials: undefined }));
    expect(none.reason).toBe(ErrorReason.GIT_AUTH_FAILED);
    const bad = await failure(clone({ credentials: wrong }));
    expect(bad.reason).toBe(ErrorReason.GIT_AUTH_FAILED);
    expect(bad.text).not.toContain("wr0ng-one");
    expect(existsSync(work)).toBe(false);
    const missing = await failure(clone({ url: `${server.url}/none.git` }));
    expect(missing.reason).toBe(ErrorReason.GIT_REMOTE_NOT_FOUND);
    const gone = await failure(clone({ url: "http://127.0.0.1:1/x.git" }));
    expect(gone.reason).toBe(ErrorReason.GIT_REMOTE_UNREACHABLE);
  });
});

describe("a secret", () => {
  const forms = [
    PASSWORD,
    encodeURIComponent(PASSWORD),
    Buffer.from(LOGIN).toString("base64"),
    "s3cret",
  ];
  const holdsSecret = (text: string) => forms.some((form) => text.includes(form));

  test("is in no argument, environment or file while git runs, nor after", async () => {
    const found: string[] = [];
    let looked = 0;
    onRequest = () => {
      for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
        // This very process knows it.
        if (Number(pid) === process.pid) continue;
        for (const file of ["cmdline", "environ"]) {
          const text = readIfThere(`/proc/${pid}/${file}`);
          if (text.includes(work)) looked++;
          if (holdsSecret(text)) found.push(`${pid} ${file}`);
        }
      }
      found.push(...filesThatHold(agent.folder, holdsSecret));
    };
    await clone();
    commit("b.txt", "x");
    await finish(host.git.push({ place, credentials }));
    onRequest = () => {};
    expect(looked).toBeGreaterThan(0);
    expect(found).toEqual([]);
    expect(filesThatHold(agent.folder, holdsSecret)).toEqual([]);
    expect(readdirSync(join(agent.folder, "state", "git"))).toEqual([]);
  });

  test("is not told to helpers of the repository or the user, nor by traces", async () => {
    const log = join(agent.folder, "helper.log");
    const helper = `!f() { cat >> '${log}'; }; f`;
    writeFileSync(join(agent.folder, ".gitconfig"), `[credential]\n\thelper = "${helper}"\n`);
    const trace = { GIT_TRACE_CURL: "1", GIT_CURL_VERBOSE: "1", GIT_TRACE_REDACT: "0" };
    const traced = { ...place, envs: { ...place.envs, ...trace } };
    const bad = await failure(clone({ place: traced, url: `${server.url}/none.git` }));
    writeFileSync(join(agent.folder, ".gitconfig"), "");
    expect(existsSync(log)).toBe(false);
    expect(bad.reason).toBe(ErrorReason.GIT_REMOTE_NOT_FOUND);
    expect(holdsSecret(bad.text)).toBe(false);
    expect(bad.text).toContain("***");
  });

  test("is not given to another host, wherever the first one sends git", async () => {
    const seen: (string | undefined)[] = [];
    await using thief = await serveHttp({
      folder: served,
      login: LOGIN,
      onRequest: ({ headers }) => {
        seen.push(headers.authorization);
        return false;
      },
    });
    await using redirecting = await serveHttp({
      folder: served,
      onRequest: (request, response) => {
        response.writeHead(302, { Location: `${thief.url}${request.url}` }).end();
        return true;
      },
    });
    const stolen = await failure(clone({ url: `${redirecting.url}/r${count}.git` }));
    expect(stolen.reason).toBe(ErrorReason.GIT_AUTH_FAILED);
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.filter(Boolean)).toEqual([]);
  });

  test("in the URL is refused before git sees it", async () => {
    const leaky = url().replace("://", "://ada:hunter2@");
    const refused = await failure(clone({ url: leaky }));
    expect(refused.reason).toBe(ErrorReason.INVALID_ARGUMENT);
    expect(refused.text).not.toContain("hunter2");
  });
});

test("a call that is cancelled ends git and all that it started", async () => {
  const caller = new AbortController();
  const hanging = Promise.withResolvers<void>();
  await using slow = await serveHttp({
    folder: served,
    onRequest: () => {
      hanging.resolve();
      return true;
    },
  });
  const call = finish(
    host.git.clone({ place, url: `${slow.url}/x.git` }, { signal: caller.signal }),
  );
  await hanging.promise;
  const running = () =>
    readdirSync("/proc").filter((pid) => readIfThere(`/proc/${pid}/cmdline`).includes(slow.url));
  expect(running().length).toBeGreaterThan(0);
  caller.abort();
  await expect(call).rejects.toThrow(/aborted|cancel/i);
  await expect.poll(() => running().length, { timeout: 5000 }).toBe(0);
  await expect.poll(() => existsSync(work)).toBe(false);
});

test("git daemon serves clones, fetches and pushes, and says what it has not", async () => {
  await using daemon = await serveDaemon(served);
  const from = `${daemon.url}/r${count}.git`;
  expect((await clone({ url: from, credentials: undefined })).done?.branch).toBe("main");
  commit("b.txt", "x");
  const pushed = await finish(host.git.push({ place, tags: false, setUpstream: true }));
  expect(pushed.done?.updates).toMatchObject([{ result: GitRefResult.UPDATED }]);
  const missing = await failure(
    clone({ url: `${daemon.url}/none.git`, place: { path: `${work}2` } }),
  );
  expect(missing.reason).toBe(ErrorReason.GIT_REMOTE_NOT_FOUND);
});

describe("over ssh with a key", () => {
  /** A computer has no sshd for a test: this ssh looks at the agent as the real one would, and goes nowhere. */
  const fakeSsh = (folder: string) => {
    mkdirSync(folder, { recursive: true });
    const script = `#!/bin/sh
set -e
echo "$@" > "${folder}/args"
env > "${folder}/env"
ssh-add -L > "${folder}/keys" || { echo "git@host: Permission denied (publickey)." >&2; exit 255; }
for last; do :; done
exec sh -c "$last"
`;
    writeFileSync(join(folder, "ssh"), script);
    chmodSync(join(folder, "ssh"), 0o755);
    return { ...place.envs, PATH: `${folder}:${process.env["PATH"]}` };
  };
  const makeKey = (name: string, passphrase: string) => {
    const file = join(agent.folder, name);
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", file]);
    const key = readFileSync(file, "utf8");
    const publicKey = readFileSync(`${file}.pub`, "utf8").trim();
    execFileSync("rm", [file]);
    return { key, publicKey };
  };

  test.each(["", "a passphrase"])(
    "the key is held by an agent that goes with the call (%j)",
    async (passphrase) => {
      const folder = join(agent.folder, `ssh-${count}`);
      const envs = fakeSsh(folder);
      const { key, publicKey } = makeKey(`key-${count}`, passphrase);
      const value = { privateKey: key, passphrase, knownHosts: "host ssh-ed25519 AAAA\n" };
      const held = { credentials: { case: "sshKey" as const, value } };
      const from = `ssh://git@host${served}/r${count}.git`;
      const { done } = await clone({ place: { ...place, envs }, url: from, credentials: held });
      expect(done?.branch).toBe("main");
      expect(readFileSync(join(folder, "keys"), "utf8")).toContain(publicKey);
      expect(readFileSync(join(folder, "args"), "utf8")).toContain("StrictHostKeyChecking=yes");
      const line = key.split("\n")[2] ?? "";
      expect(filesThatHold(agent.folder, (text) => text.includes(line))).toEqual([]);
      const socket =
        /SSH_AUTH_SOCK=(.*)/.exec(readFileSync(join(folder, "env"), "utf8"))?.[1] ?? "";
      await expect.poll(() => existsSync(socket)).toBe(false);
      const pids = readdirSync("/proc");
      const agents = () =>
        pids.filter((pid) => readIfThere(`/proc/${pid}/cmdline`).includes(socket));
      await expect.poll(() => agents().length).toBe(0);
    },
  );

  test("a key that is none, and a missing passphrase, are told without the key", async () => {
    const { key } = makeKey("locked", "a passphrase");
    for (const privateKey of ["no key at all", key]) {
      const value = { privateKey, passphrase: "", knownHosts: "" };
      const held = { credentials: { case: "sshKey" as const, value } };
      const refused = await failure(clone({ url: `ssh://git@host/x`, credentials: held }));
      expect(refused.reason).toBe(ErrorReason.GIT_AUTH_FAILED);
      expect(refused.text).not.toContain(privateKey.slice(0, 40));
    }
  });
});

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

function filesThatHold(folder: string, holds: (text: string) => boolean): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => holds(readIfThere(path)));
}
