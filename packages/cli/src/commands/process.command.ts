import { type Command, Option } from "commander";
import type { AttachFlags, KillFlags, LogsFlags, StdinFlags } from "./process.js";
import { type CommonOptions, processId, withCommonOptions } from "../options.js";

/** Signals that a process can be sent. */
const SIGNALS = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGKILL",
  "SIGUSR1",
  "SIGUSR2",
  "SIGTERM",
  "SIGCONT",
  "SIGSTOP",
  "SIGTSTP",
  "SIGWINCH",
] as const;

const MACHINE = ["<machine>", "id of the machine"] as const;
const PID = ["<pid>", "process id, as exec -d and list tell it"] as const;

/** Adds `nullspace process ...`. */
export function addProcessCommands(program: Command): void {
  const command = program
    .command("process")
    .alias("ps")
    .description("look after the processes of a machine, those in the background too");

  withCommonOptions(command.command("list"))
    .alias("ls")
    .description("list processes that run, and the last that ended")
    .argument(...MACHINE)
    .action(async (id: string, options: CommonOptions) =>
      (await import("./process.js")).listProcesses(id, options),
    );

  withCommonOptions(command.command("logs"))
    .description("print what a process wrote: its output on stdout, its errors on stderr")
    .argument(...MACHINE)
    .argument(...PID, processId)
    .option("-f, --follow", "go on until the process ends")
    .addHelpText(
      "after",
      `
Examples:
  $ pid=$(nullspace exec $id -d -- make test)
  $ nullspace process logs $id $pid --follow`,
    )
    .action(async (id: string, pid: number, options: LogsFlags) => {
      process.exitCode = await (await import("./process.js")).printLogs(id, pid, options);
    });

  withCommonOptions(command.command("attach"))
    .description("be connected to a process as if you had started it: streams, signals, exit code")
    .argument(...MACHINE)
    .argument(...PID, processId)
    .option("-n, --no-stdin", "do not send standard input")
    .option("--no-signals", "let Ctrl-C end the connection, not the process")
    .action(async (id: string, pid: number, options: AttachFlags) => {
      process.exitCode = await (await import("./process.js")).attach(id, pid, options);
    });

  withCommonOptions(command.command("stdin"))
    .description("send standard input to a process")
    .argument(...MACHINE)
    .argument(...PID, processId)
    .option("--close", "close the process's standard input afterwards")
    .addHelpText("after", "\nExamples:\n  $ echo yes | nullspace process stdin $id $pid --close")
    .action(async (id: string, pid: number, options: StdinFlags) =>
      (await import("./process.js")).sendStdin(id, pid, options),
    );

  withCommonOptions(command.command("kill"))
    .description("signal processes, each with everything it started")
    .argument(...MACHINE)
    .argument("<pid...>", PID[1])
    .addOption(
      new Option("-s, --signal <name>", "signal to send").choices(SIGNALS).default("SIGTERM"),
    )
    .action(async (id: string, pids: string[], options: KillFlags) =>
      (await import("./process.js")).killProcesses(id, pids.map(processId), options),
    );
}
