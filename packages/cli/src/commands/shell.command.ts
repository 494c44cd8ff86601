import type { Command } from "commander";
import type { ShellFlags } from "./shell.js";
import { collectPair, withCommonOptions } from "../options.js";

/** Adds `nullspace shell`. */
export function addShellCommand(program: Command): void {
  withCommonOptions(program.command("shell"))
    .description("open a terminal in a machine; it outlives this program and its connection")
    .usage("[options] <machine> [-- <command> [args...]]")
    .argument("<machine>", "id of the machine")
    .argument("[command...]", "program and its arguments; the user's shell when not given")
    .option("--cwd <path>", "working directory")
    .option("-e, --env <name=value>", "environment; may be given several times", collectPair)
    .option("-u, --user <name>", "guest user to run as")
    .option("-d, --detach", "start it and print the session's id, without showing it")
    .option("-a, --attach <session>", "show a session that is there, from its screen as it is now")
    .option("-l, --list", "list sessions")
    .option("-k, --kill <session>", "end a session and everything that runs in it")
    .addHelpText(
      "after",
      `
Examples:
  $ nullspace shell $id
  $ nullspace shell $id -- vim notes.md
  $ nullspace shell $id --list
  $ nullspace shell $id --attach pty_1

Keys, after Enter:
  ~.   leave; what runs in the session goes on
  ~?   show these keys
  ~~   type a ~

The exit code is the program's own; 0 after leaving it.`,
    )
    .action(async (id: string, command: string[], options: ShellFlags) => {
      process.exitCode = await (await import("./shell.js")).shell(id, command, options);
    });
}
