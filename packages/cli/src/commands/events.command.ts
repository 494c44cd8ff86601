import type { Command } from "commander";
import type { EventsFlags } from "./events.js";
import { wholeNumber, withCommonOptions } from "../options.js";

/** Adds `nullspace events`. */
export function addEventsCommand(program: Command): void {
  withCommonOptions(program.command("events"))
    .description("show what happened to machines and snapshots")
    .option("-f, --follow", "go on with what happens, until interrupted")
    .option("--machine <machine>", "only what happened to this machine")
    .option("--limit <count>", "how many to begin with, 1 to 100", wholeNumber, 20)
    .option("--after <id>", "begin after this event, and follow", wholeNumber)
    .addHelpText(
      "after",
      `
With --json each event is one line of JSON.

Examples:
  $ nullspace events -f
  $ nullspace events --machine $id --json`,
    )
    .action(async (options: EventsFlags) => (await import("./events.js")).showEvents(options));
}
