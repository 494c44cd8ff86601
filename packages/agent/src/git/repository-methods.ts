import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ServiceImpl } from "@connectrpc/connect";
import { GitOperation, type GitService } from "@nullspace/proto/agent";
import { argument, repositoryUrl } from "./arguments.js";
import { withPath } from "./network.js";
import type { GitServiceOptions } from "./options.js";
import { scrubUrls } from "./scrub.js";
import { parseStatus } from "./status.js";

type Methods = Pick<
  ServiceImpl<typeof GitService>,
  "init" | "status" | "listRemotes" | "addRemote" | "removeRemote" | "getConfig" | "setConfig"
>;

/** What git leaves in its folder while it is in the midst of something. */
const OPERATIONS: readonly (readonly [string, GitOperation])[] = [
  ["rebase-merge", GitOperation.REBASE],
  ["rebase-apply", GitOperation.REBASE],
  ["MERGE_HEAD", GitOperation.MERGE],
  ["CHERRY_PICK_HEAD", GitOperation.CHERRY_PICK],
  ["REVERT_HEAD", GitOperation.REVERT],
  ["BISECT_LOG", GitOperation.BISECT],
];

/** Exit codes of `git config`. */
const NO_SUCH_NAME = 1;
const NOTHING_TO_UNSET = 5;

/** Methods about the repository as a whole. */
export function repositoryMethods({ git, newFolder }: GitServiceOptions): Methods {
  return {
    async init({ place, initialBranch, bare }, { signal }) {
      const path = newFolder(place?.path || ".");
      const branch = argument("branch", initialBranch || "main");
      const options = [`--initial-branch=${branch}`, ...(bare ? ["--bare"] : [])];
      // The folder may not be there yet, so git is not run in it.
      const outside = withPath(place, "/");
      await git.run({ place: outside, args: ["init", ...options, "--", path], signal });
      return { path };
    },

    async status({ place, ignored }, { signal }) {
      const run = { place, signal, readOnly: true };
      const args = ["status", "--porcelain=v2", "--branch", "--show-stash", "-z", "--find-renames"];
      const untracked = ["--untracked-files=all", ...(ignored ? ["--ignored"] : [])];
      const { fields, truncated } = await git.fields({ ...run, args: [...args, ...untracked] });
      const where = ["rev-parse", "--absolute-git-dir", "--show-toplevel"];
      const [folder = "", root = ""] = (await git.line({ ...run, args: where })).split("\n");
      const operation = OPERATIONS.find(([name]) => existsSync(join(folder, name)))?.[1];
      const status = { ...parseStatus(fields), truncated, root };
      return { status: operation === undefined ? status : { ...status, operation } };
    },

    async listRemotes({ place }, { signal }) {
      const run = { place, signal, readOnly: true };
      const names = (await git.line({ ...run, args: ["remote"] })).split("\n").filter(Boolean);
      const url = async (name: string, ...options: string[]) => {
        const args = ["remote", "get-url", ...options, name];
        return scrubUrls((await git.attempt({ ...run, args })).stdout.toString().trim());
      };
      const remotes = names.map(async (name) => ({
        name,
        fetchUrl: await url(name),
        pushUrl: await url(name, "--push"),
      }));
      return { remotes: await Promise.all(remotes) };
    },

    async addRemote({ place, name, url, replace }, { signal }) {
      const remote = [argument("name", name), repositoryUrl(url)];
      if (replace) {
        const args = ["remote", "set-url", ...remote];
        if ((await git.attempt({ place, args, signal })).exitCode === 0) return {};
      }
      await git.run({ place, args: ["remote", "add", ...remote], signal });
      return {};
    },

    async removeRemote({ place, name }, { signal }) {
      await git.run({ place, args: ["remote", "remove", argument("name", name)], signal });
      return {};
    },

    async getConfig({ place, name, global }, { signal }) {
      const scope = global ? ["--global"] : [];
      const what = name === "" ? ["--list"] : ["--get-regexp", nameExactly(name)];
      const args = ["config", ...scope, "--show-scope", "-z", ...what];
      const run = { place, args, signal, readOnly: true, accept: [NO_SUCH_NAME] };
      const { fields } = await git.fields(run);
      const entries = [];
      for (let at = 0; at + 1 < fields.length; at += 2) {
        const [entryName = "", ...value] = (fields[at + 1] ?? "").split("\n");
        // What we give git on its command line is not the user's.
        if (fields[at] === "command") continue;
        entries.push({
          scope: fields[at] ?? "",
          name: entryName,
          value: scrubUrls(value.join("\n")),
        });
      }
      return { entries };
    },

    async setConfig({ place, name, value, global }, { signal }) {
      const scope = global ? "--global" : "--local";
      const key = argument("name", name);
      if (value === undefined) {
        const args = ["config", scope, "--unset-all", key];
        await git.run({ place, args, signal, accept: [NOTHING_TO_UNSET] });
      } else {
        await git.run({ place, args: ["config", scope, "--replace-all", key, value], signal });
      }
      return {};
    },
  };
}

/** A pattern that only this name matches; section and key are of any case, git has them lower. */
function nameExactly(name: string): string {
  const [section = "", ...rest] = argument("name", name).split(".");
  const key = rest.pop() ?? "";
  const exact = [section.toLowerCase(), ...rest, key.toLowerCase()].join(".");
  return `^${exact.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
}
