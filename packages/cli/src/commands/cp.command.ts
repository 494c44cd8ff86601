import type { Command } from "commander";
import type { CpFlags } from "./cp.js";
import { withCommonOptions } from "../options.js";

/** Adds `nullspace cp`. */
export function addCpCommand(program: Command): void {
  withCommonOptions(program.command("cp"))
    .description("copy files and folders between here and a machine")
    .usage("[options] <source...> <target>")
    .argument("<place...>", "paths here, machine:path, or - for a pipe; the target comes last")
    .option("-r, --recursive", "folders are always copied with all they hold; for your fingers")
    .option("-u, --user <name>", "owner of what is made in the machine")
    .option("--resume <upload>", "go on with an upload that was interrupted")
    .option("-q, --quiet", "show no progress")
    .addHelpText(
      "after",
      `
Examples:
  $ nullspace cp report.csv $id:data/
  $ nullspace cp src tests $id:/workspace
  $ nullspace cp $id:build/out.tar .
  $ tar c . | nullspace cp - $id:backup.tar
  $ nullspace cp $id:/var/log/syslog - | less

A copy goes into a target that is a folder; dir/. means what the folder holds.
Permission bits, times and links are kept; files are checked by SHA-256.`,
    )
    .action(async (places: string[], options: CpFlags) =>
      (await import("./cp.js")).cp(places, options),
    );
}
