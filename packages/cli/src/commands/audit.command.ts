import type { Command } from "commander";
import type { AuditFlags } from "./audit.js";
import { wholeNumber, withCommonOptions } from "../options.js";

/** Adds `nullspace audit`. */
export function addAuditCommand(program: Command): void {
  withCommonOptions(program.command("audit"))
    .description("show who did what: calls that change something, and those refused for their key")
    .option("--project <project>", "of this project; of your own when not given")
    .option("--key <id>", "only what was done with this key")
    .option("--object <id>", "only what was done to this machine, snapshot, key or project")
    .option("--limit <count>", "entries on a page, 1 to 100", wholeNumber)
    .option("--cursor <cursor>", "the page to begin with")
    .action(async (options: AuditFlags) => (await import("./audit.js")).showAudit(options));
}
