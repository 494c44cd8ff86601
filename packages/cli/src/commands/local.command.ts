import type { Command } from "commander";
import type { DoctorFlags } from "./doctor.js";
import type { DoctorEgressFlags } from "./doctor-egress.js";
import type { UpFlags } from "./up.js";
import { type CommonOptions, wholeNumber, withCommonOptions } from "../options.js";

/** Adds the commands that are about this computer: `up`, `server`, `doctor`, `login`. */
export function addLocalCommands(program: Command): void {
  program
    .command("up")
    .description("start a server here, in the foreground, and say how to use it")
    .option("--port <number>", "port to listen on", wholeNumber, 7070)
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--home <folder>", "where the server keeps what it has")
    .option("--log-level <level>", "how much the server tells", "warn")
    .action(async (options: UpFlags) => {
      process.exitCode = await (await import("./up.js")).up(options);
    });

  program
    .command("server")
    .description("run the server for scripts and services; see nullspace server --help")
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .argument("[options...]", "options of nullspace-server")
    .action(async (_options, _flags, command: Command) => {
      const { handOverToServer } = await import("../server-program.js");
      handOverToServer(command.args);
    });

  const doctor = withCommonOptions(program.command("doctor"))
    .description("check this computer, its server and your key, and say what to do")
    .option("--gc", "look for snapshots that nobody needs instead, and remove them")
    .option("--dry-run", "with --gc: only tell which they are")
    .option("--home <folder>", "where the server keeps what it has")
    .action(async (options: DoctorFlags) => {
      process.exitCode = await (await import("./doctor.js")).doctor(options);
    });

  withCommonOptions(doctor.command("egress"))
    .description("try from inside a machine what no machine may reach, and tell what was reached")
    .option(
      "--machine <machine>",
      "this machine with its policy, in place of one that is made for it",
    )
    .action(async (_options, command: Command) => {
      // Those that `doctor` has as well arrive there.
      const flags = command.optsWithGlobals<DoctorEgressFlags>();
      process.exitCode = await (await import("./doctor-egress.js")).doctorEgress(flags);
    });

  withCommonOptions(program.command("login"))
    .description("check a key and store it with its server for later commands")
    .addHelpText(
      "after",
      "\nThe key is asked for, or read from standard input, unless --api-key gives it.",
    )
    .action(async (options: CommonOptions) => (await import("./login.js")).login(options));
}
