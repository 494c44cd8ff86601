import type { ServiceImpl } from "@connectrpc/connect";
import type { GitService } from "@nullspace/proto/agent";
import { argument, invalid, optional } from "./arguments.js";
import { identity } from "./change-methods.js";
import type { GitServiceOptions } from "./options.js";
import { head } from "./network.js";
import { BRANCH_FORMAT, parseBranches, parseTags, TAG_FORMAT } from "./refs.js";

type Methods = Pick<
  ServiceImpl<typeof GitService>,
  | "createBranch"
  | "listBranches"
  | "deleteBranch"
  | "checkout"
  | "createTag"
  | "listTags"
  | "deleteTag"
>;

/** Methods about branches and tags. */
export function branchMethods({ git }: GitServiceOptions): Methods {
  return {
    async createBranch({ place, name, start, force }, { signal }) {
      const options = force ? ["--force"] : [];
      const names = [argument("name", name), ...optional("start", start)];
      await git.run({ place, args: ["branch", ...options, ...names], signal });
      const args = ["for-each-ref", BRANCH_FORMAT, `refs/heads/${name}`];
      const { fields } = await git.fields({ place, args, signal, readOnly: true });
      const [branch = {}] = parseBranches(fields);
      return { branch };
    },

    async listBranches({ place, remote }, { signal }) {
      const where = ["refs/heads", ...(remote ? ["refs/remotes"] : [])];
      const args = ["for-each-ref", BRANCH_FORMAT, ...where];
      const { fields } = await git.fields({ place, args, signal, readOnly: true });
      return { branches: parseBranches(fields) };
    },

    async deleteBranch({ place, name, force }, { signal }) {
      const args = ["branch", "--delete", ...(force ? ["--force"] : []), argument("name", name)];
      await git.run({ place, args, signal });
      return {};
    },

    async checkout({ place, ref, create, detach, force }, { signal }) {
      if (ref === "" && create === "") {
        throw invalid("ref", "there is nothing to check out", "Give ref, or create.");
      }
      const options = [
        ...(force ? ["--force"] : []),
        ...(detach ? ["--detach"] : []),
        ...(create === "" ? [] : ["-b", argument("create", create)]),
      ];
      // The two dashes say that it is no file, should one have this name.
      const args = ["checkout", "--quiet", ...options, ...optional("ref", ref), "--"];
      await git.run({ place, args, signal });
      return head(git, place, signal);
    },

    async createTag({ place, name, ref, message, tagger, force }, { signal }) {
      const annotate = message === "" ? [] : ["--annotate", "--file=-"];
      const options = [...annotate, ...(force ? ["--force"] : [])];
      const args = ["tag", ...options, argument("name", name), ...optional("ref", ref)];
      const input = message === "" ? {} : { input: message };
      await git.run({ place, args, ...input, env: identity(tagger), signal });
      const find = ["for-each-ref", TAG_FORMAT, `refs/tags/${name}`];
      const { fields } = await git.fields({ place, args: find, signal, readOnly: true });
      const [tag = {}] = parseTags(fields);
      return { tag };
    },

    async listTags({ place }, { signal }) {
      const args = ["for-each-ref", TAG_FORMAT, "refs/tags"];
      const { fields } = await git.fields({ place, args, signal, readOnly: true });
      return { tags: parseTags(fields) };
    },

    async deleteTag({ place, name }, { signal }) {
      await git.run({ place, args: ["tag", "--delete", argument("name", name)], signal });
      return {};
    },
  };
}
