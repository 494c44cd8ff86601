import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GitCommitSchema, GitSignatureSchema } from "@nullspace/proto/agent";

export type Commit = MessageInitShape<typeof GitCommitSchema>;

/** One field after the other; with -z each commit ends with NUL, as each field does. */
const FIELDS = ["%H", "%P", "%T", "%an", "%ae", "%at", "%cn", "%ce", "%ct", "%D", "%s", "%B"];

/** What `git log` is to be asked for, for {@link parseCommits}. */
export const COMMIT_OPTIONS = ["-z", "--no-show-signature", `--format=${FIELDS.join("%x00")}`];

/** Reads commits out of the fields that {@link COMMIT_OPTIONS} ask for; one that was cut is left out. */
export function parseCommits(fields: readonly string[]): Commit[] {
  const commits: Commit[] = [];
  for (let at = 0; at + FIELDS.length <= fields.length; at += FIELDS.length) {
    const [sha, parents = "", tree, an, ae, at_, cn, ce, ct, refs = "", subject, message = ""] =
      fields.slice(at, at + FIELDS.length);
    commits.push({
      ...(sha !== undefined && { sha }),
      parents: parents.split(" ").filter(Boolean),
      ...(tree !== undefined && { tree }),
      author: signature(an, ae, at_),
      committer: signature(cn, ce, ct),
      ...(subject !== undefined && { subject }),
      message: message.trimEnd(),
      refs: refs
        .split(", ")
        .map((ref) => ref.replace(/^HEAD -> /, ""))
        .filter((ref) => ref !== "" && ref !== "HEAD"),
    });
  }
  return commits;
}

/** Who did something, and when. */
export function signature(
  name = "",
  email = "",
  seconds = "0",
): MessageInitShape<typeof GitSignatureSchema> {
  return { name, email, time: { seconds: BigInt(seconds || "0"), nanos: 0 } };
}
