import type { ServiceImpl } from "@connectrpc/connect";
import {
  type GitIdentity,
  type GitPlace,
  GitResetMode,
  type GitService,
} from "@nullspace/proto/agent";
import { argument, invalid, optional, paths } from "./arguments.js";
import { COMMIT_OPTIONS, parseCommits, signature } from "./commits.js";
import type { Git } from "./git.js";
import type { GitServiceOptions } from "./options.js";

type Methods = Pick<
  ServiceImpl<typeof GitService>,
  "add" | "commit" | "saveStash" | "listStashes" | "applyStash" | "dropStash" | "reset" | "restore"
>;

const RESET_OPTIONS = {
  [GitResetMode.UNSPECIFIED]: "--mixed",
  [GitResetMode.SOFT]: "--soft",
  [GitResetMode.MIXED]: "--mixed",
  [GitResetMode.HARD]: "--hard",
};

/** Methods that change index, work tree and branch. */
export function changeMethods({ git }: GitServiceOptions): Methods {
  return {
    async add({ place, files, all, force }, { signal }) {
      if (!all && files.length === 0) {
        throw invalid("files", "there is nothing to add", "Name files, or set all.");
      }
      const options = [...(all ? ["--all"] : []), ...(force ? ["--force"] : [])];
      await git.run({ place, args: ["add", ...options, ...paths(files)], signal });
      return {};
    },

    async commit({ place, message, author, all, amend, allowEmpty }, { signal }) {
      const options = [
        ...(all ? ["--all"] : []),
        ...(amend ? ["--amend"] : []),
        ...(allowEmpty ? ["--allow-empty"] : []),
        // From standard input: a message can be long, and is nobody's business.
        ...(amend && message === "" ? ["--no-edit"] : ["--file=-", "--cleanup=whitespace"]),
      ];
      const args = ["commit", "--quiet", ...options];
      await git.run({ place, args, input: message, env: identity(author), signal });
      return { commit: await commitAt(git, place, "HEAD", signal) };
    },

    async saveStash({ place, message, includeUntracked, keepIndex, files }, { signal }) {
      const newest = () =>
        git.attempt({ place, args: ["rev-parse", "-q", "--verify", "refs/stash"], signal });
      const before = (await newest()).stdout.toString();
      const options = [
        ...(message === "" ? [] : [`--message=${message}`]),
        ...(includeUntracked ? ["--include-untracked"] : []),
        ...(keepIndex ? ["--keep-index"] : []),
      ];
      await git.run({ place, args: ["stash", "push", ...options, ...paths(files)], signal });
      return { saved: (await newest()).stdout.toString() !== before };
    },

    async listStashes({ place }, { signal }) {
      const args = ["stash", "list", "-z", "--format=%H%x00%gs%x00%ct"];
      const { fields } = await git.fields({ place, args, signal, readOnly: true });
      const stashes = [];
      for (let at = 0; at + 2 < fields.length; at += 3) {
        const [sha = "", message = "", seconds] = fields.slice(at, at + 3);
        stashes.push({ index: at / 3, sha, message, ...time(seconds) });
      }
      return { stashes };
    },

    async applyStash({ place, index, pop }, { signal }) {
      const args = ["stash", pop ? "pop" : "apply", "--index", stash(index)];
      const { exitCode } = await git.attempt({ place, args, signal });
      // The index cannot always be brought back as it was; the work tree can, or says why not.
      if (exitCode !== 0) {
        await git.run({ place, args: args.filter((one) => one !== "--index"), signal });
      }
      return {};
    },

    async dropStash({ place, index }, { signal }) {
      await git.run({ place, args: ["stash", "drop", stash(index)], signal });
      return {};
    },

    async reset({ place, ref, mode, files }, { signal }) {
      const options = files.length > 0 ? [] : [RESET_OPTIONS[mode]];
      const args = ["reset", "--quiet", ...options, ...optional("ref", ref), ...paths(files)];
      await git.run({ place, args, signal });
      const find = ["rev-parse", "--quiet", "--verify", "HEAD"];
      const { stdout } = await git.attempt({ place, args: find, signal, readOnly: true });
      return { head: stdout.toString().trim() };
    },

    async restore({ place, files, source, staged, worktree }, { signal }) {
      if (files.length === 0) {
        throw invalid("files", "there is nothing to restore", 'Name files, "." for all.');
      }
      const options = [
        ...(source === "" ? [] : [`--source=${argument("source", source)}`]),
        ...(staged ? ["--staged"] : []),
        ...(worktree ? ["--worktree"] : []),
      ];
      await git.run({ place, args: ["restore", ...options, ...paths(files)], signal });
      return {};
    },
  };
}

/** One commit. */
export async function commitAt(
  git: Git,
  place: GitPlace | undefined,
  ref: string,
  signal: AbortSignal,
) {
  const args = ["log", "--max-count=1", ...COMMIT_OPTIONS, argument("ref", ref), "--"];
  const [commit] = parseCommits((await git.fields({ place, args, signal, readOnly: true })).fields);
  return commit ?? {};
}

/** Author, and committer, as git takes them from its environment. */
export function identity(who: GitIdentity | undefined): Record<string, string> {
  if (who === undefined) return {};
  if (who.name === "" || who.email === "") {
    throw invalid("author", "the author has no name or no email", "Give both.");
  }
  return {
    GIT_AUTHOR_NAME: who.name,
    GIT_AUTHOR_EMAIL: who.email,
    GIT_COMMITTER_NAME: who.name,
    GIT_COMMITTER_EMAIL: who.email,
  };
}

function stash(index: number): string {
  return `stash@{${index}}`;
}

function time(seconds: string | undefined) {
  const { time: at } = signature("", "", seconds);
  return at === undefined ? {} : { time: at };
}
