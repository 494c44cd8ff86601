import { type Command, Option } from "commander";
import type { ListSnapshotsFlags } from "./snapshot.js";
import { type CommonOptions, collectPair, wholeNumber, withCommonOptions } from "../options.js";

/** Adds `nullspace snapshot ...`. */
export function addSnapshotCommands(program: Command): void {
  const snapshot = program
    .command("snapshot")
    .alias("snapshots")
    .description("list and delete snapshots; machine snapshot takes one");

  withCommonOptions(snapshot.command("list"))
    .alias("ls")
    .description("list snapshots, newest first")
    .option("--machine <machine>", "only those of this machine")
    .addOption(new Option("--kind <kind>", "only these").choices(["reusable", "pause"]))
    .option("-m, --metadata <name=value>", "only those with this label; several times", collectPair)
    .option("--limit <count>", "snapshots on a page, 1 to 100", wholeNumber)
    .option("--cursor <cursor>", "the page to begin with")
    .action(async (options: ListSnapshotsFlags) =>
      (await import("./snapshot.js")).listSnapshots(options),
    );

  withCommonOptions(snapshot.command("get"))
    .description("show a snapshot's record")
    .argument("<snapshot>", "id of the snapshot")
    .action(async (id: string, options: CommonOptions) =>
      (await import("./snapshot.js")).getSnapshot(id, options),
    );

  withCommonOptions(snapshot.command("delete"))
    .alias("rm")
    .description("delete snapshots; that of a paused machine takes the machine with it")
    .argument("<snapshot...>", "ids of the snapshots")
    .action(async (ids: string[], options: CommonOptions) =>
      (await import("./snapshot.js")).deleteSnapshots(ids, options),
    );
}
