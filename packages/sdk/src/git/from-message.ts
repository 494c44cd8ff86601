import { timestampDate } from "@bufbuild/protobuf/wkt";
import * as proto from "@nullspace/proto/agent";
import type {
  GitBranch,
  GitChange,
  GitCommit,
  GitConflict,
  GitDiff,
  GitFileDiff,
  GitOperation,
  GitRefResult,
  GitRefUpdate,
  GitSignature,
  GitStash,
  GitStatus,
  GitStatusEntry,
  GitTag,
} from "./results.js";

const CHANGES: Record<proto.GitChange, GitChange> = {
  [proto.GitChange.UNSPECIFIED]: "modified",
  [proto.GitChange.UNMODIFIED]: "unmodified",
  [proto.GitChange.ADDED]: "added",
  [proto.GitChange.MODIFIED]: "modified",
  [proto.GitChange.DELETED]: "deleted",
  [proto.GitChange.RENAMED]: "renamed",
  [proto.GitChange.COPIED]: "copied",
  [proto.GitChange.TYPE_CHANGED]: "type-changed",
  [proto.GitChange.UNTRACKED]: "untracked",
  [proto.GitChange.IGNORED]: "ignored",
  [proto.GitChange.CONFLICTED]: "conflicted",
};

const CONFLICTS: Record<proto.GitConflict, GitConflict | undefined> = {
  [proto.GitConflict.UNSPECIFIED]: undefined,
  [proto.GitConflict.BOTH_DELETED]: "both-deleted",
  [proto.GitConflict.ADDED_BY_US]: "added-by-us",
  [proto.GitConflict.DELETED_BY_THEM]: "deleted-by-them",
  [proto.GitConflict.ADDED_BY_THEM]: "added-by-them",
  [proto.GitConflict.DELETED_BY_US]: "deleted-by-us",
  [proto.GitConflict.BOTH_ADDED]: "both-added",
  [proto.GitConflict.BOTH_MODIFIED]: "both-modified",
};

const OPERATIONS: Record<proto.GitOperation, GitOperation | undefined> = {
  [proto.GitOperation.UNSPECIFIED]: undefined,
  [proto.GitOperation.MERGE]: "merge",
  [proto.GitOperation.REBASE]: "rebase",
  [proto.GitOperation.CHERRY_PICK]: "cherry-pick",
  [proto.GitOperation.REVERT]: "revert",
  [proto.GitOperation.BISECT]: "bisect",
};

const REF_RESULTS: Record<proto.GitRefResult, GitRefResult> = {
  [proto.GitRefResult.UNSPECIFIED]: "updated",
  [proto.GitRefResult.UP_TO_DATE]: "up-to-date",
  [proto.GitRefResult.NEW]: "new",
  [proto.GitRefResult.UPDATED]: "updated",
  [proto.GitRefResult.FORCED]: "forced",
  [proto.GitRefResult.DELETED]: "deleted",
  [proto.GitRefResult.REJECTED]: "rejected",
};

export function commitOf(commit: proto.GitCommit | undefined): GitCommit {
  return {
    sha: commit?.sha ?? "",
    parents: [...(commit?.parents ?? [])],
    tree: commit?.tree ?? "",
    author: signatureOf(commit?.author),
    committer: signatureOf(commit?.committer),
    subject: commit?.subject ?? "",
    message: commit?.message ?? "",
    refs: [...(commit?.refs ?? [])],
  };
}

export function statusOf(status: proto.GitStatus | undefined): GitStatus {
  const entries = (status?.entries ?? []).map(entryOf);
  return {
    root: status?.root ?? "",
    branch: status?.branch || undefined,
    detached: status?.detached ?? false,
    head: status?.head || undefined,
    upstream: status?.upstream || undefined,
    ahead: status?.ahead ?? 0,
    behind: status?.behind ?? 0,
    clean: entries.every(({ worktree }) => worktree === "ignored"),
    operation: status && OPERATIONS[status.operation],
    entries,
    conflicts: entries.filter(({ conflict }) => conflict !== undefined),
    stashes: status?.stashes ?? 0,
    truncated: status?.truncated ?? false,
  };
}

function entryOf(entry: proto.GitStatusEntry): GitStatusEntry {
  const { path, originalPath, submodule } = entry;
  const index = CHANGES[entry.index];
  return {
    path,
    originalPath: originalPath || undefined,
    index,
    worktree: CHANGES[entry.worktree],
    staged: index !== "unmodified" && index !== "conflicted",
    conflict: CONFLICTS[entry.conflict],
    submodule: submodule && {
      commitChanged: submodule.commitChanged,
      modified: submodule.modified,
      untracked: submodule.untracked,
    },
  };
}

export function branchOf(branch: proto.GitBranch | undefined): GitBranch {
  return {
    name: branch?.name ?? "",
    sha: branch?.sha ?? "",
    current: branch?.current ?? false,
    remote: branch?.remote ?? false,
    upstream: branch?.upstream || undefined,
    upstreamGone: branch?.upstreamGone ?? false,
    ahead: branch?.ahead ?? 0,
    behind: branch?.behind ?? 0,
    subject: branch?.subject ?? "",
  };
}

export function diffOf(diff: proto.GitDiff | undefined): GitDiff {
  const patchBytes = diff?.patch ?? new Uint8Array();
  return {
    files: (diff?.files ?? []).map(fileDiffOf),
    patch: new TextDecoder("utf-8", { ignoreBOM: true }).decode(patchBytes),
    patchBytes,
    truncated: diff?.truncated ?? false,
  };
}

function fileDiffOf(file: proto.GitFileDiff): GitFileDiff {
  const { path, additions, deletions, binary, submodule, oldMode, newMode } = file;
  return {
    path,
    originalPath: file.originalPath || undefined,
    change: CHANGES[file.change],
    additions,
    deletions,
    binary,
    submodule,
    oldMode,
    newMode,
  };
}

export function refUpdateOf(update: proto.GitRefUpdate): GitRefUpdate {
  return {
    localRef: update.localRef || undefined,
    remoteRef: update.remoteRef || undefined,
    result: REF_RESULTS[update.result],
    summary: update.summary,
  };
}

export function stashOf(stash: proto.GitStash): GitStash {
  const { index, sha, message, time } = stash;
  return { index, sha, message, time: time ? timestampDate(time) : new Date(0) };
}

export function tagOf(tag: proto.GitTag | undefined): GitTag {
  return {
    name: tag?.name ?? "",
    sha: tag?.sha ?? "",
    annotated: tag?.annotated ?? false,
    message: tag?.message ?? "",
    tagger: tag?.tagger && signatureOf(tag.tagger),
  };
}

function signatureOf(signature: proto.GitSignature | undefined): GitSignature {
  return {
    name: signature?.name ?? "",
    email: signature?.email ?? "",
    time: signature?.time ? timestampDate(signature.time) : new Date(0),
  };
}
