import { Command, CommanderError, Option } from "commander";
import { type DoctorOptions, runDoctor } from "./doctor/doctor.js";
import { runServer, type ServerFlags } from "./run-server.js";
import {
  DEFAULT_HOME,
  DEFAULT_HOST,
  DEFAULT_KEEP_AUDIT_DAYS,
  DEFAULT_KEEP_DAYS,
  DEFAULT_MAX_MACHINES,
  DEFAULT_PORT,
  DEFAULT_PREVIEW_DOMAIN,
  defaultMaxMemoryMb,
  LOG_LEVELS,
  poolEntry,
  projectLimit,
  resolver,
  wholeNumber,
} from "./settings.js";

const MAX_PORT = 65_535;
const MAX_MACHINES = 4000;

/** Runs `nullspace-server` and gives its exit code: when the server has stopped, if it started one. */
export async function runProgram(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command("nullspace-server")
    .description("Control plane and host of Nullspace in one process.")
    .exitOverride();

  withPlace(program.command("server", { isDefault: true }))
    .description("run the server in the foreground until it is told to stop; machines go on")
    .option("--json", "print one JSON line {url, apiKey, consoleUrl} when ready", false)
    .addOption(
      new Option("--log-level <level>", "how much to log to standard error")
        .choices(LOG_LEVELS)
        .default("info"),
    )
    .option(
      "--max-machines <n>",
      "machines at a time",
      wholeNumber(1, MAX_MACHINES),
      DEFAULT_MAX_MACHINES,
    )
    .option(
      "--max-memory-mb <n>",
      "memory of all machines together, in MiB",
      wholeNumber(128, Number.MAX_SAFE_INTEGER),
      defaultMaxMemoryMb(),
    )
    .option(
      "--warm-pool <template=n>",
      "machines that wait, restored, for whoever asks; may be given more than once",
      poolEntry,
      new Map<string, number>(),
    )
    .option(
      "--dns <address>",
      "resolver to ask on behalf of machines, in place of this computer's own; may be given more than once",
      resolver,
      [],
    )
    .option(
      "--keep-days <n>",
      "days that records of ended machines are kept",
      wholeNumber(0, 3650),
      DEFAULT_KEEP_DAYS,
    )
    .option(
      "--keep-audit-days <n>",
      "days that the audit trail is kept",
      wholeNumber(0, 3650),
      DEFAULT_KEEP_AUDIT_DAYS,
    )
    .option(
      "--project-limit <name=n>",
      "limit of every project without one of its own; may be given more than once",
      projectLimit,
      {},
    )
    .addOption(
      new Option(
        "--preview-domain <domain>",
        "domain of previews; a URL such as https://preview.example.com behind a proxy",
      )
        .env("NULLSPACE_PREVIEW_DOMAIN")
        .default(DEFAULT_PREVIEW_DOMAIN),
    )
    .addOption(
      new Option(
        "--tls-cert <file>",
        "certificate with its chain, as PEM: the port speaks TLS too",
      ).env("NULLSPACE_TLS_CERT"),
    )
    .addOption(new Option("--tls-key <file>", "its key, as PEM").env("NULLSPACE_TLS_KEY"))
    .action(async (flags: ServerFlags) => {
      exitCode = await runServer(flags);
    });

  withPlace(program.command("doctor"))
    .description("look at what a server needs of this computer, and say what to do")
    .option("--json", "print the checks as JSON", false)
    .option("--gc", "look for snapshots that nobody needs instead, and remove them", false)
    .option("--dry-run", "with --gc: only tell which they are", false)
    .action(async (options: DoctorOptions) => {
      exitCode = await runDoctor(options);
    });

  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    // The parser has told it already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
}

/** Options of every command: where things are. */
function withPlace(command: Command): Command {
  return command
    .addOption(
      new Option("--home <folder>", "where the server keeps everything")
        .env("NULLSPACE_HOME")
        .default(DEFAULT_HOME),
    )
    .option("--host <address>", "address to listen on", DEFAULT_HOST)
    .option("--port <n>", "port to listen on; 0 for any", wholeNumber(0, MAX_PORT), DEFAULT_PORT)
    .addOption(
      new Option("--qemu <program>", "QEMU: a path, or a name in PATH")
        .env("NULLSPACE_QEMU")
        .default("qemu-system-x86_64"),
    );
}
