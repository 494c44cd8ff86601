import type { ServiceImpl } from "@connectrpc/connect";
import type { GitService } from "@nullspace/proto/agent";
import { argument, optional, paths } from "./arguments.js";
import { commitAt } from "./change-methods.js";
import { COMMIT_OPTIONS, parseCommits } from "./commits.js";
import { diff } from "./diff.js";
import type { GitServiceOptions } from "./options.js";

type Methods = Pick<ServiceImpl<typeof GitService>, "diff" | "log" | "show">;

const DEFAULT_LIMIT = 50;
const MOST_COMMITS = 1000;

/** Methods that only read. */
export function historyMethods({ git }: GitServiceOptions): Methods {
  return {
    async diff({ place, from, to, staged, files, contextLines, noPatch }, { signal }) {
      const range = [
        ...(staged ? ["--cached"] : []),
        ...optional("from", from),
        ...optional("to", to),
        "--",
        ...files,
      ];
      return { diff: await diff(git, { place, range, contextLines, noPatch, signal }) };
    },

    async log({ place, ref, limit, skip, files }, { signal }) {
      const count = Math.min(limit || DEFAULT_LIMIT, MOST_COMMITS);
      const range = [`--max-count=${count}`, `--skip=${skip}`, argument("ref", ref || "HEAD")];
      const what = files.length > 0 ? paths(files) : ["--"];
      const args = ["log", ...COMMIT_OPTIONS, ...range, ...what];
      const { fields } = await git.fields({ place, args, signal, readOnly: true });
      return { commits: parseCommits(fields) };
    },

    async show({ place, ref }, { signal }) {
      const commit = await commitAt(git, place, ref || "HEAD", signal);
      const { sha = "", parents: [parent] = [] } = commit;
      // The first commit has nothing before it: all that is in it is new.
      const nothing = ["hash-object", "-t", "tree", "--stdin"];
      const before =
        parent ?? (await git.line({ place, args: nothing, input: "", signal, readOnly: true }));
      const range = [before, sha, "--"];
      return { commit, diff: await diff(git, { place, range, signal }) };
    },
  };
}
