import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  GitRefResult,
  type GitBranchSchema,
  type GitRefUpdateSchema,
  type GitTagSchema,
} from "@nullspace/proto/agent";
import { signature } from "./commits.js";

export type Branch = MessageInitShape<typeof GitBranchSchema>;
export type Tag = MessageInitShape<typeof GitTagSchema>;
export type RefUpdate = MessageInitShape<typeof GitRefUpdateSchema>;

const format = (...fields: string[]) =>
  `--format=${fields.map((field) => `%(${field})%00`).join("")}`;

/** What `git for-each-ref` is to be asked for, for {@link parseBranches}. */
export const BRANCH_FORMAT = format(
  "refname",
  "objectname",
  "HEAD",
  "upstream:short",
  "upstream:track,nobracket",
  "contents:subject",
  "symref",
);

/** What `git for-each-ref` is to be asked for, for {@link parseTags}. */
export const TAG_FORMAT = format(
  "refname:strip=2",
  "objectname",
  "*objectname",
  "objecttype",
  "taggername",
  "taggeremail:trim",
  "taggerdate:unix",
  "contents",
);

/** Reads branches; names that only stand for another, as origin/HEAD, are left out. */
export function parseBranches(fields: readonly string[]): Branch[] {
  return records(fields, 7).flatMap(
    ([ref = "", sha, head, upstream, track = "", subject, symref]) => {
      if (symref !== "") return [];
      return {
        name: ref.replace(/^refs\/(heads|remotes)\//, ""),
        ...(sha !== undefined && { sha }),
        current: head === "*",
        remote: ref.startsWith("refs/remotes/"),
        ...(upstream !== undefined && { upstream }),
        ahead: Number(/ahead (\d+)/.exec(track)?.[1] ?? 0),
        behind: Number(/behind (\d+)/.exec(track)?.[1] ?? 0),
        upstreamGone: track === "gone",
        ...(subject !== undefined && { subject }),
      };
    },
  );
}

/** Reads tags. */
export function parseTags(fields: readonly string[]): Tag[] {
  return records(fields, 8).map(([name = "", sha = "", target = "", type, ...rest]) => {
    const [taggerName, email, date, contents = ""] = rest;
    const annotated = type === "tag";
    return {
      name,
      sha: target || sha,
      annotated,
      message: annotated ? contents.trimEnd() : "",
      ...(annotated && { tagger: signature(taggerName, email, date) }),
    };
  });
}

const PUSH_RESULTS: Readonly<Record<string, GitRefResult>> = {
  " ": GitRefResult.UPDATED,
  "+": GitRefResult.FORCED,
  "-": GitRefResult.DELETED,
  "*": GitRefResult.NEW,
  "!": GitRefResult.REJECTED,
  "=": GitRefResult.UP_TO_DATE,
};

/** Reads `git push --porcelain`. */
export function parsePush(stdout: string): RefUpdate[] {
  return stdout.split("\n").flatMap((line) => {
    const [flag = "", refs = "", summary = ""] = line.split("\t");
    const result = PUSH_RESULTS[flag];
    if (result === undefined || refs === "") return [];
    const colon = refs.indexOf(":");
    return { localRef: refs.slice(0, colon), remoteRef: refs.slice(colon + 1), result, summary };
  });
}

/** What differs between two readings of the local refs, by full name. */
export function compareRefs(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): RefUpdate[] {
  const updates: RefUpdate[] = [];
  for (const [localRef, sha] of after) {
    const former = before.get(localRef);
    if (former === sha) continue;
    const result = former === undefined ? GitRefResult.NEW : GitRefResult.UPDATED;
    updates.push({ localRef, result, summary: former === undefined ? sha : `${former}..${sha}` });
  }
  for (const localRef of before.keys()) {
    if (!after.has(localRef)) updates.push({ localRef, result: GitRefResult.DELETED });
  }
  return updates;
}

/** Groups of so many fields. Each record of for-each-ref ends with a newline, before the next one's first field. */
function records(fields: readonly string[], size: number): string[][] {
  const groups: string[][] = [];
  for (let at = 0; at + size <= fields.length; at += size) {
    const [first = "", ...rest] = fields.slice(at, at + size);
    groups.push([first.replace(/^\n/, ""), ...rest]);
  }
  return groups;
}
