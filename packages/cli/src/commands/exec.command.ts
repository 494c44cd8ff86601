import type { Command } from "commander";
import type { ExecFlags } from "./exec.js";
import { collectPair, seconds, withCommonOptions } from "../options.js";

/** Adds `nullspace exec`. */
export function addExecCommand(program: Command): void {
  withCommonOptions(program.command("exec"))
    .description(
      "run a command in a machine; its streams, signals and exit code are passed through",
    )
    .usage("[options] <machine> -- <command> [args...]")
    .argument("<machine>", "id of the machine")
    .argument("[command...]", "program and its arguments")
    .option("--shell <line>", "run a line of shell instead")
    .option("--cwd <path>", "working directory")
    .option("-e, --env <name=value>", "environment; may be given several times", collectPair)
    .option("-u, --user <name>", "guest user to run as")
    .option("--timeout <time>", "kill the command after this time, as 90s or 15m", seconds)
    .option("-n, --no-stdin", "do not read standard input")
    .option("-d, --detach", "start it in the background and print its process id")
    .addHelpText(
      "after",
      `
Examples:
  $ nullspace exec $id -- python3 -c 'print(6 * 7)'
  $ nullspace exec $id --shell 'ls -la | head'
  $ nullspace exec $id -- cat < photo.jpg > copy.jpg
  $ nullspace exec $id -d -- python3 -m http.server

With --json the output is collected and printed as one JSON object at the end.`,
    )
    .action(async (id: string, command: string[], options: ExecFlags) => {
      process.exitCode = await (await import("./exec.js")).exec(id, command, options);
    });
}
