import { type Command, Option } from "commander";
import type {
  BranchFlags,
  CheckoutFlags,
  CommitFlags,
  DiffFlags,
  GitFlags,
  LogFlags,
} from "./git.js";
import type { CloneFlags, PullFlags, PushFlags } from "./git-remote.js";
import { collect, wholeNumber, withCommonOptions } from "../options.js";

const MACHINE = ["<machine>", "id of the machine"] as const;

/** Adds `nullspace git ...`. */
export function addGitCommands(program: Command): void {
  const git = program
    .command("git")
    .description("work with Git repositories in a machine, with your own credentials per call")
    .addHelpText(
      "after",
      `
Examples:
  $ nullspace git clone $id https://git.example.com/team/app.git
  $ NULLSPACE_GIT_PASSWORD=... nullspace git push $id -C app --username me
  $ nullspace git clone $id git@git.example.com:team/app.git --key ~/.ssh/id_ed25519
  $ nullspace git status $id -C app

A password comes from NULLSPACE_GIT_PASSWORD, or is asked for on a terminal. The
machine holds credentials in memory for one call, and nowhere else. Everything
else of git: nullspace exec $id --cwd app -- git ...`,
    );
  addLocal(git);
  addRemote(git);
}

function addLocal(git: Command): void {
  place(git.command("status"))
    .description("branch, changes and conflicts")
    .action(async (id: string, options: GitFlags) =>
      (await import("./git.js")).status(id, options),
    );

  place(git.command("log"))
    .description("commits, newest first")
    .argument("[ref]", "where to begin, or a range as main..topic")
    .option("-n, --limit <count>", "most to tell, 1 to 1000", wholeNumber, 20)
    .action(async (id: string, ref: string | undefined, options: LogFlags) =>
      (await import("./git.js")).log(id, ref, options),
    );

  place(git.command("diff"))
    .description("changes as a patch")
    .argument("[from]", "a commit; the index when not given")
    .argument("[to]", "a commit; the work tree when not given")
    .option("--staged", "what is staged")
    .option("--stat", "list of files only")
    .action(
      async (id: string, from: string | undefined, to: string | undefined, options: DiffFlags) =>
        (await import("./git.js")).diff(id, { from, to }, options),
    );

  place(git.command("add"))
    .description("stage files, or with -A everything")
    .argument("[file...]", "files and folders")
    .option("-A, --all", "everything in the work tree")
    .action(async (id: string, files: string[], options: GitFlags & { all?: boolean }) =>
      (await import("./git.js")).add(id, files, options),
    );

  place(git.command("commit"))
    .description("commit what is staged")
    .requiredOption("-m, --message <text>", "what it is about")
    .option("-a, --all", "changed and deleted files that git knows, too")
    .option("--author <Name <email>>", "author and committer; as configured when not given")
    .action(async (id: string, options: CommitFlags) =>
      (await import("./git.js")).commit(id, options),
    );

  place(git.command("branch"))
    .description("list branches")
    .option("-r, --remote", "those of remotes as well")
    .action(async (id: string, options: BranchFlags) =>
      (await import("./git.js")).branches(id, options),
    );

  place(git.command("checkout"))
    .description("switch to a branch, tag or commit")
    .argument("[ref]", "branch, tag or commit")
    .option("-b, --create <name>", "make a branch of this name there")
    .action(async (id: string, ref: string | undefined, options: CheckoutFlags) =>
      (await import("./git.js")).checkout(id, ref, options),
    );
}

function addRemote(git: Command): void {
  remote(withCommonOptions(git.command("clone")).argument(...MACHINE))
    .description("clone a repository")
    .argument("<url>", "of the repository")
    .argument("[path]", "folder to make; named after the repository when not given")
    .option("-b, --branch <name>", "branch or tag")
    .option("--depth <commits>", "commits of history", wholeNumber)
    .option("--recurse-submodules", "its submodules, too")
    .action(async (id: string, url: string, path: string | undefined, options: CloneFlags) =>
      (await import("./git-remote.js")).clone(id, url, path, options),
    );

  remote(place(git.command("pull")))
    .description("bring the branch up to date")
    .option("--rebase", "put your commits on top instead of merging")
    .option("--ff-only", "fail where a merge would be needed")
    .action(async (id: string, options: PullFlags) =>
      (await import("./git-remote.js")).pull(id, options),
    );

  remote(place(git.command("push")))
    .description("send commits to the remote")
    .argument("[ref...]", "branches or tags; the current branch when not given")
    .option("--remote <name>", "as configured, mostly origin, when not given")
    .option("-u, --set-upstream", "remember where it goes")
    .option("--force-with-lease", "overwrite the remote's branch if it is as it was fetched last")
    .action(async (id: string, refs: string[], options: PushFlags) =>
      (await import("./git-remote.js")).push(id, refs, options),
    );
}

function place(command: Command): Command {
  return withCommonOptions(command)
    .argument(...MACHINE)
    .option(
      "-C, --path <folder>",
      "a folder of the repository; where commands begin when not given",
    );
}

function remote(command: Command): Command {
  return command
    .option("--username <name>", "for https, with the password from NULLSPACE_GIT_PASSWORD")
    .option("--key <file>", "private key, for ssh")
    .addOption(
      new Option("--known-hosts <line>", "line of a known_hosts file; several times").argParser(
        collect,
      ),
    );
}
