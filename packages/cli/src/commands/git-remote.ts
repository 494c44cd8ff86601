import { readFile } from "node:fs/promises";
import type { GitAuth, GitProgress } from "@nullspace/sdk";
import { askSecretly } from "../ask.js";
import { ProgressBar } from "../progress-bar.js";
import { hint, print, printJson, shown } from "../terminal.js";
import { UsageError } from "../usage-error.js";
import { type GitFlags, withGit } from "./git.js";

/** Options of what goes over the network. */
interface RemoteFlags extends GitFlags {
  username?: string;
  key?: string;
  knownHosts?: string[];
}

/** Options of `nullspace git clone`. */
export interface CloneFlags extends RemoteFlags {
  branch?: string;
  depth?: number;
  recurseSubmodules?: boolean;
}

/** `nullspace git clone` */
export async function clone(
  id: string,
  url: string,
  path: string | undefined,
  flags: CloneFlags,
): Promise<void> {
  const { branch, depth, recurseSubmodules } = flags;
  const auth = await authOf(flags);
  const made = await withGit(id, flags, (git) =>
    showing("clone", (onProgress) =>
      git.clone({ url, path, branch, depth, recurseSubmodules, auth, onProgress }),
    ),
  );
  if (flags.json)
    return printJson({ ...made, branch: made.branch ?? null, head: made.head ?? null });
  print(`${shown(made.path)}\n`);
}

/** Options of `nullspace git pull`. */
export interface PullFlags extends RemoteFlags {
  rebase?: boolean;
  ffOnly?: boolean;
}

/** `nullspace git pull` */
export async function pull(id: string, flags: PullFlags): Promise<void> {
  const { path, rebase, ffOnly: fastForwardOnly } = flags;
  const auth = await authOf(flags);
  const { before, head } = await withGit(id, flags, (git) =>
    showing("pull", (onProgress) => git.pull({ path, rebase, fastForwardOnly, auth, onProgress })),
  );
  if (flags.json) return printJson({ before, head });
  if (before === head) hint("up to date");
  else print(`${before.slice(0, 9)}..${head.slice(0, 9)}\n`);
}

/** Options of `nullspace git push`. */
export interface PushFlags extends RemoteFlags {
  remote?: string;
  setUpstream?: boolean;
  forceWithLease?: boolean;
}

/** `nullspace git push` */
export async function push(id: string, refs: string[], flags: PushFlags): Promise<void> {
  const { path, remote, setUpstream, forceWithLease } = flags;
  const auth = await authOf(flags);
  const items = await withGit(id, flags, (git) =>
    showing("push", (onProgress) =>
      git.push({
        path,
        remote,
        ...(refs.length > 0 && { refs }),
        setUpstream,
        forceWithLease,
        auth,
        onProgress,
      }),
    ),
  );
  if (flags.json) return printJson({ items });
  print(items.map(({ remoteRef, result }) => `${result}  ${shown(remoteRef ?? "")}\n`).join(""));
}

/** Shows on a terminal how far git is, in its own words. */
async function showing<T>(
  label: string,
  work: (onProgress: (progress: GitProgress) => void) => Promise<T>,
): Promise<T> {
  using bar = new ProgressBar(label);
  return await work(({ phase, done, total, message }) => bar.say(phase || message, done, total));
}

/** Secrets come from the environment, a file or the keyboard: arguments are seen by everyone here. */
async function authOf({ username, key, knownHosts }: RemoteFlags): Promise<GitAuth | undefined> {
  if (username !== undefined && key !== undefined) {
    throw new UsageError("give --username for https or --key for ssh, not both");
  }
  if (key !== undefined) {
    const privateKey = await readFile(key, "utf8");
    return { privateKey, ...(knownHosts && { knownHosts: `${knownHosts.join("\n")}\n` }) };
  }
  if (username === undefined) return undefined;
  const password = process.env["NULLSPACE_GIT_PASSWORD"];
  if (password !== undefined && password !== "") return { username, password };
  if (!process.stdin.isTTY) throw new UsageError("set NULLSPACE_GIT_PASSWORD to the password");
  return { username, password: await askSecretly(`Password of ${username}: `) };
}
