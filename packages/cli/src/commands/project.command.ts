import type { Command } from "commander";
import type { LimitFlags, ListProjectsFlags } from "./project.js";
import { type CommonOptions, wholeNumber, withCommonOptions } from "../options.js";

/** Adds `nullspace project ...`. */
export function addProjectCommands(program: Command): void {
  const project = program
    .command("project")
    .alias("projects")
    .description("projects, which see nothing of each other, and their limits");

  withLimits(withCommonOptions(project.command("create")))
    .description("make a project")
    .argument("<name>", "small letters, digits and hyphens, beginning with a letter")
    .addHelpText(
      "after",
      `
Limits that are not given are the server's own; 0 is no limit.

Examples:
  $ nullspace project create team-a --machines 20 --memory-mb 32768
  $ nullspace key create --project team-a ci`,
    )
    .action(async (name: string, options: LimitFlags) =>
      (await import("./project.js")).createProject(name, options),
    );

  withCommonOptions(project.command("list"))
    .alias("ls")
    .description("list projects")
    .option("--limit <count>", "projects on a page, 1 to 100", wholeNumber)
    .option("--cursor <cursor>", "the page to begin with")
    .action(async (options: ListProjectsFlags) =>
      (await import("./project.js")).listProjects(options),
    );

  withCommonOptions(project.command("get"))
    .description("show a project's limits and what it holds")
    .argument("[name]", "your own key's project when not given")
    .action(async (name: string | undefined, options: CommonOptions) =>
      (await import("./project.js")).showProject(name, options),
    );

  withLimits(withCommonOptions(project.command("limit")))
    .description("set a project's limits; those that are not given become the server's own")
    .argument("<name>", "the project")
    .action(async (name: string, options: LimitFlags) =>
      (await import("./project.js")).limitProject(name, options),
    );
}

function withLimits(command: Command): Command {
  return command
    .option("--requests-per-second <n>", "calls a second", wholeNumber)
    .option("--request-burst <n>", "calls at once after a rest", wholeNumber)
    .option("--machines <n>", "machines at a time", wholeNumber)
    .option("--vcpus <n>", "virtual CPUs of all machines", wholeNumber)
    .option("--memory-mb <n>", "memory of all machines, in MiB", wholeNumber)
    .option("--snapshots <n>", "snapshots", wholeNumber)
    .option("--snapshot-mb <n>", "bytes of all snapshots, in MiB", wholeNumber)
    .option("--ssh-connections <n>", "SSH connections at once", wholeNumber);
}
