import { basename } from "node:path";
import type { GitCredentials, GitPlace } from "@nullspace/proto/agent";
import type {
  GitServiceCloneRequest,
  GitServiceFetchRequest,
  GitServicePullRequest,
  GitServicePushRequest,
} from "@nullspace/proto/agent";
import { argument, optional, repositoryUrl } from "./arguments.js";
import type { CredentialDesk } from "./credentials.js";
import type { Git, GitOutput } from "./git.js";
import { type Progress, ProgressReader } from "./progress.js";
import { compareRefs, parsePush } from "./refs.js";

type Tell = (progress: Progress) => void;

interface RemoteRun {
  place: GitPlace | undefined;
  credentials: GitCredentials | undefined;
  /** URLs that the credentials are meant for. */
  urls: readonly string[];
  args: readonly string[];
}

/** What goes over the network: clone, fetch, pull and push, with credentials and progress. */
export class GitNetwork {
  readonly #git: Git;
  readonly #desk: CredentialDesk;
  readonly #newFolder: (path: string) => string;

  /** @param newFolder the absolute path of a folder to be made; throws where nobody may write. */
  constructor(git: Git, desk: CredentialDesk, newFolder: (path: string) => string) {
    this.#git = git;
    this.#desk = desk;
    this.#newFolder = newFolder;
  }

  async clone(request: GitServiceCloneRequest, tell: Tell, signal: AbortSignal) {
    const { place, branch, depth, recurseSubmodules, bare, credentials } = request;
    const url = repositoryUrl(request.url);
    const path = this.#newFolder(place?.path || folderOf(url, bare));
    const args = [
      "clone",
      "--progress",
      ...(branch === "" ? [] : ["--branch", argument("branch", branch)]),
      ...(depth === 0 ? [] : ["--depth", String(depth)]),
      ...(recurseSubmodules ? ["--recurse-submodules"] : []),
      ...(depth !== 0 && recurseSubmodules ? ["--shallow-submodules"] : []),
      ...(bare ? ["--bare"] : []),
      "--",
      url,
      path,
    ];
    const outside = withPath(place, "/");
    const urls = [url, ...(await this.#lookUp(outside, ["ls-remote", "--get-url", url], signal))];
    await this.#run({ place: outside, credentials, urls, args }, tell, signal);
    return { path, ...(await head(this.#git, withPath(place, path), signal)) };
  }

  async fetch(request: GitServiceFetchRequest, tell: Tell, signal: AbortSignal) {
    const { place, remote, refs, prune, tags, depth, credentials } = request;
    const names = refs.map((ref) => argument("ref", ref));
    // Refs can only be named after the remote.
    const from = names.length > 0 ? remote || "origin" : remote;
    const args = [
      "fetch",
      "--progress",
      ...(prune ? ["--prune"] : []),
      ...(tags ? ["--tags"] : []),
      ...(depth === 0 ? [] : ["--depth", String(depth)]),
      ...remoteOf(from),
      ...names,
    ];
    const urls = await this.#urls(place, remote, signal);
    const before = await this.#refs(place, signal);
    await this.#run({ place, credentials, urls, args }, tell, signal);
    return { updates: compareRefs(before, await this.#refs(place, signal)) };
  }

  async pull(request: GitServicePullRequest, tell: Tell, signal: AbortSignal) {
    const { place, remote, branch, rebase, fastForwardOnly, credentials } = request;
    const from = branch === "" ? remote : remote || "origin";
    const args = [
      "pull",
      "--progress",
      rebase ? "--rebase" : "--no-rebase",
      ...(fastForwardOnly ? ["--ff-only"] : []),
      ...remoteOf(from),
      ...optional("branch", branch),
    ];
    const urls = await this.#urls(place, remote, signal);
    const { head: before } = await head(this.#git, place, signal);
    await this.#run({ place, credentials, urls, args }, tell, signal);
    return { before, head: (await head(this.#git, place, signal)).head };
  }

  async push(request: GitServicePushRequest, tell: Tell, signal: AbortSignal) {
    const { place, remote, forceWithLease, force, setUpstream, tags, credentials } = request;
    const refs = request.refs.map((ref) => argument("ref", ref));
    const needsRefs = refs.length === 0 && !tags;
    const { branch } = needsRefs ? await head(this.#git, place, signal) : { branch: "" };
    const args = [
      "push",
      "--porcelain",
      "--progress",
      ...(forceWithLease ? ["--force-with-lease"] : []),
      ...(force ? ["--force"] : []),
      ...(setUpstream ? ["--set-upstream"] : []),
      ...(tags ? ["--tags"] : []),
      ...(request.delete ? ["--delete"] : []),
      repositoryUrl(remote || (await this.#pushRemote(place, branch, signal))),
      ...(refs.length > 0 ? refs : needsRefs ? [branch || "HEAD"] : []),
    ];
    const urls = await this.#urls(place, remote, signal);
    const { stdout } = await this.#run({ place, credentials, urls, args }, tell, signal);
    return { updates: parsePush(stdout.toString()) };
  }

  async #run(run: RemoteRun, tell: Tell, signal: AbortSignal): Promise<GitOutput> {
    const { place, credentials, urls, args } = run;
    await using access = await this.#desk.open(credentials, place, urls);
    const { env, options, scrub } = access;
    const progress = new ProgressReader(scrub, tell);
    const onSay = (text: string) => progress.push(text);
    return await this.#git.run({ place, args, options, env, scrub, onSay, signal });
  }

  /** Every URL that a remote may mean, after git's own rewriting of URLs. */
  async #urls(place: GitPlace | undefined, remote: string, signal: AbortSignal): Promise<string[]> {
    const name = remoteOf(remote);
    const push = ["remote", "get-url", "--push", "--all", ...(name.length > 0 ? name : ["origin"])];
    const found = await Promise.all([
      this.#lookUp(place, ["ls-remote", "--get-url", ...name], signal),
      this.#lookUp(place, push, signal),
    ]);
    return found.flat();
  }

  async #pushRemote(
    place: GitPlace | undefined,
    branch: string,
    signal: AbortSignal,
  ): Promise<string> {
    const names = [`branch.${branch}.pushRemote`, "remote.pushDefault", `branch.${branch}.remote`];
    for (const name of names) {
      const [found] = await this.#lookUp(place, ["config", "--get", name], signal);
      if (found !== undefined) return found;
    }
    return "origin";
  }

  /** Lines of the output; none when git fails, which the real command will say better. */
  async #lookUp(
    place: GitPlace | undefined,
    args: string[],
    signal: AbortSignal,
  ): Promise<string[]> {
    const { stdout, exitCode } = await this.#git.attempt({ place, args, signal, readOnly: true });
    return exitCode === 0 ? stdout.toString().split("\n").filter(Boolean) : [];
  }

  async #refs(place: GitPlace | undefined, signal: AbortSignal): Promise<Map<string, string>> {
    const args = ["for-each-ref", "--format=%(refname) %(objectname) %(symref)"];
    const text = await this.#git.line({ place, args, signal, readOnly: true });
    const refs = text.split("\n").map((line) => line.split(" "));
    return new Map(
      refs.flatMap(([name = "", sha = "", symref]) => (symref === "" ? [[name, sha]] : [])),
    );
  }
}

/** Branch and commit that are worked on; empty where there is none. */
export async function head(git: Git, place: GitPlace | undefined, signal: AbortSignal) {
  const ask = async (...args: string[]) => {
    const { stdout, exitCode } = await git.attempt({ place, args, signal, readOnly: true });
    return exitCode === 0 ? stdout.toString().trim() : "";
  };
  const branch = await ask("symbolic-ref", "--quiet", "--short", "HEAD");
  return { branch, head: await ask("rev-parse", "--quiet", "--verify", "HEAD") };
}

/** The same user and environment in another folder. */
export function withPath(place: GitPlace | undefined, path: string): GitPlace {
  return {
    $typeName: "nullspace.agent.v1.GitPlace",
    path,
    user: place?.user ?? "",
    envs: place?.envs ?? {},
  };
}

/** The name or URL of a remote, or none. */
function remoteOf(remote: string): string[] {
  return remote === "" ? [] : [repositoryUrl(remote)];
}

function folderOf(url: string, bare: boolean): string {
  const name = basename(url.replace(/\/+$/, "").replace(/^.*:(?!\/)/, "")).replace(/\.git$/, "");
  return bare ? `${name}.git` : name;
}
