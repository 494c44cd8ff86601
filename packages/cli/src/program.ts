import { Command, CommanderError } from "commander";
import { addAuditCommand } from "./commands/audit.command.js";
import { addCompletionCommand } from "./commands/completion.command.js";
import { addCpCommand } from "./commands/cp.command.js";
import { addEventsCommand } from "./commands/events.command.js";
import { addExecCommand } from "./commands/exec.command.js";
import { addFilesCommands } from "./commands/files.command.js";
import { addGitCommands } from "./commands/git.command.js";
import { addKeyCommands } from "./commands/key.command.js";
import { addLocalCommands } from "./commands/local.command.js";
import { addMachineCommands } from "./commands/machine.command.js";
import { addPreviewCommands } from "./commands/preview.command.js";
import { addProcessCommands } from "./commands/process.command.js";
import { addProjectCommands } from "./commands/project.command.js";
import { addShellCommand } from "./commands/shell.command.js";
import { addSnapshotCommands } from "./commands/snapshot.command.js";
import { addSshCommands } from "./commands/ssh.command.js";
import { ExitCode } from "./exit-code.js";
import { VERSION } from "./version.js";

const EXAMPLES = `
Examples:
  $ nullspace up                                   start a server here, in the foreground
  $ id=$(nullspace machine create)                 start a machine
  $ nullspace exec $id -- uname -a                 run a command in it
  $ nullspace shell $id                            open a terminal in it
  $ nullspace cp src $id:/workspace                copy files and folders
  $ nullspace machine kill $id

Server and key: --url and --api-key, else NULLSPACE_API_URL and NULLSPACE_API_KEY,
else what nullspace login stored, else the server of this computer.

Exit codes: 0 ok, 1 other, 2 usage, 3 not found, 4 not authenticated, 5 not permitted,
6 quota or capacity, 7 conflict, 8 server or machine failed. exec and shell give the
command's own.
`;

/** The whole command line: options and help only; what a command does is loaded when it runs. */
export function createProgram(): Command {
  const program = new Command("nullspace")
    .description("Machines for AI agents: real Linux VMs in milliseconds.")
    .version(VERSION, "-V, --version")
    .helpCommand(true)
    // What follows the machine in `nullspace ssh` is ssh's.
    .enablePositionalOptions()
    .showHelpAfterError("(add --help for what there is)")
    .showSuggestionAfterError()
    .addHelpText("after", EXAMPLES);
  addMachineCommands(program);
  addSnapshotCommands(program);
  addEventsCommand(program);
  addExecCommand(program);
  addShellCommand(program);
  addSshCommands(program);
  addCpCommand(program);
  addFilesCommands(program);
  addGitCommands(program);
  addProcessCommands(program);
  addPreviewCommands(program);
  addKeyCommands(program);
  addProjectCommands(program);
  addAuditCommand(program);
  addLocalCommands(program);
  addCompletionCommand(program);
  return program;
}

/** Runs a command line and gives its exit code. */
export async function runProgram(argv: readonly string[]): Promise<number> {
  const program = createProgram();
  const json = argv.slice(0, endOfOptions(argv)).includes("--json");
  overrideExit(program, json);
  try {
    await program.parseAsync(argv, { from: "user" });
    return typeof process.exitCode === "number" ? process.exitCode : ExitCode.Ok;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return ExitCode.Ok;
      // In words, the parser has told it already.
      if (!json) return ExitCode.Usage;
    }
    const { reportFailure } = await import("./failure.js");
    return reportFailure(error, json);
  }
}

function endOfOptions(argv: readonly string[]): number {
  const end = argv.indexOf("--");
  return end < 0 ? argv.length : end;
}

function overrideExit(command: Command, json: boolean): void {
  command.exitOverride();
  // With --json the failure is told once, as JSON.
  if (json) command.configureOutput({ writeErr: () => undefined });
  for (const child of command.commands) overrideExit(child, json);
}
