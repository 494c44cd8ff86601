import type {
  Git,
  GitBranch,
  GitChange,
  GitCommit,
  GitStatus,
  GitStatusEntry,
} from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { writeOut } from "../pass-through.js";
import { duration, hint, print, printJson, shown, styled, table } from "../terminal.js";
import { UsageError } from "../usage-error.js";

/** Options of every `nullspace git` command. */
export interface GitFlags extends CommonOptions {
  path?: string;
}

/** Does something with a machine's repositories. */
export async function withGit<T>(
  id: string,
  flags: CommonOptions,
  act: (git: Git) => Promise<T>,
): Promise<T> {
  await using client = await openClient(flags);
  const machine = await client.machines.connect(id);
  // Awaited: the client closes when this scope ends.
  return await act(machine.git);
}

/** `nullspace git status` */
export async function status(id: string, flags: GitFlags): Promise<void> {
  const { path } = flags;
  const found = await withGit(id, flags, (git) => git.status({ path }));
  if (flags.json) return printJson(found);
  print(headOf(found));
  print(found.entries.map(changeOf).join(""));
  if (found.clean) hint("nothing is changed");
}

/** Options of `nullspace git log`. */
export interface LogFlags extends GitFlags {
  limit: number;
}

/** `nullspace git log` */
export async function log(id: string, ref: string | undefined, flags: LogFlags): Promise<void> {
  const { path, limit } = flags;
  const items = await withGit(id, flags, (git) => git.log({ path, ref, limit }));
  if (flags.json) return printJson({ items });
  print(items.map(lineOf).join(""));
}

/** Options of `nullspace git diff`. */
export interface DiffFlags extends GitFlags {
  staged?: boolean;
  stat?: boolean;
}

/** `nullspace git diff` */
export async function diff(
  id: string,
  between: { from: string | undefined; to: string | undefined },
  flags: DiffFlags,
): Promise<void> {
  const { path, staged, stat } = flags;
  const options = { path, staged, ...between, patch: !stat };
  const { patchBytes, ...found } = await withGit(id, flags, (git) => git.diff(options));
  if (flags.json) return printJson(found);
  if (!stat) await writeOut([patchBytes]);
  else {
    const rows = found.files.map((file) => [
      shown(file.path),
      file.change,
      file.binary
        ? "binary"
        : `${styled("green", `+${file.additions}`)} ${styled("red", `-${file.deletions}`)}`,
    ]);
    if (rows.length > 0) print(table(["FILE", "CHANGE", "LINES"], rows));
  }
  if (found.truncated) hint("there is more than is shown");
}

/** `nullspace git add` */
export async function add(
  id: string,
  files: string[],
  flags: GitFlags & { all?: boolean },
): Promise<void> {
  const { path, all } = flags;
  if (all !== true && files.length === 0) throw new UsageError("name files, or say --all");
  await withGit(id, flags, (git) => git.add({ path, files, all }));
  if (flags.json) printJson({ files, all: all === true });
}

/** Options of `nullspace git commit`. */
export interface CommitFlags extends GitFlags {
  message: string;
  all?: boolean;
  author?: string;
}

/** `nullspace git commit` */
export async function commit(id: string, flags: CommitFlags): Promise<void> {
  const { path, message, all } = flags;
  const author = flags.author === undefined ? undefined : personOf(flags.author);
  const made = await withGit(id, flags, (git) => git.commit({ path, message, all, author }));
  if (flags.json) printJson(made);
  else print(lineOf(made));
}

/** Options of `nullspace git branch`. */
export interface BranchFlags extends GitFlags {
  remote?: boolean;
}

/** `nullspace git branch` */
export async function branches(id: string, flags: BranchFlags): Promise<void> {
  const { path, remote } = flags;
  const items = await withGit(id, flags, (git) => git.listBranches({ path, remote }));
  if (flags.json) return printJson({ items });
  print(items.map(branchOf).join(""));
}

/** Options of `nullspace git checkout`. */
export interface CheckoutFlags extends GitFlags {
  create?: string;
}

/** `nullspace git checkout` */
export async function checkout(
  id: string,
  ref: string | undefined,
  flags: CheckoutFlags,
): Promise<void> {
  const { path, create } = flags;
  if (ref === undefined && create === undefined) throw new UsageError("say what to switch to");
  const head = await withGit(id, flags, (git) => git.checkout({ path, ref, create }));
  if (flags.json) printJson({ branch: head.branch ?? null, head: head.head ?? null });
  else print(`${head.branch ?? head.head ?? ""}\n`);
}

function headOf({ branch, head, upstream, ahead, behind, operation }: GitStatus): string {
  const place =
    branch ?? (head === undefined ? "no commit yet" : `detached at ${head.slice(0, 9)}`);
  const distance = [ahead > 0 && `${ahead} ahead`, behind > 0 && `${behind} behind`].filter(
    Boolean,
  );
  const facts = [upstream && `of ${upstream}`, ...distance, operation && `in a ${operation}`];
  return (
    `${styled("bold", place)}  ${styled("dim", facts.filter(Boolean).join(", "))}`.trimEnd() + "\n"
  );
}

const LETTERS: Record<GitChange, string> = {
  unmodified: " ",
  added: "A",
  modified: "M",
  deleted: "D",
  renamed: "R",
  copied: "C",
  "type-changed": "T",
  untracked: "?",
  ignored: "!",
  conflicted: "U",
};

function changeOf({ index, worktree, path, originalPath, conflict }: GitStatusEntry): string {
  // As git does it: what it does not know has no state of its own in the index.
  const unknown = worktree === "untracked" || worktree === "ignored";
  const staged = styled(unknown ? "red" : "green", LETTERS[unknown ? worktree : index]);
  const changed = styled("red", LETTERS[worktree]);
  const name =
    originalPath === undefined ? shown(path) : `${shown(originalPath)} -> ${shown(path)}`;
  return `${staged}${changed} ${name}${conflict === undefined ? "" : styled("red", `  ${conflict}`)}\n`;
}

function lineOf({ sha, subject, author, refs }: GitCommit): string {
  const names = refs.length === 0 ? "" : ` ${styled("green", `(${refs.join(", ")})`)}`;
  const age = duration(Date.now() - author.time.getTime());
  const who = styled("dim", `${shown(author.name)}, ${age} ago`);
  return `${styled("yellow", sha.slice(0, 9))}${names} ${shown(subject)}  ${who}\n`;
}

function branchOf({ name, current, sha, subject }: GitBranch): string {
  const mark = current ? "*" : " ";
  return `${mark} ${styled(current ? "green" : "bold", shown(name))}  ${styled("dim", sha.slice(0, 9))} ${shown(subject)}\n`;
}

function personOf(text: string): { name: string; email: string } {
  const match = /^([^<>]+) <([^<>\s]+)>$/.exec(text);
  if (match === null) throw new UsageError('an author looks like "Ada <ada@example.com>"');
  return { name: match[1] ?? "", email: match[2] ?? "" };
}
