import type { Command } from "commander";
import type { ListKeysFlags } from "./key.js";
import { type CommonOptions, wholeNumber, withCommonOptions } from "../options.js";

/** Adds `nullspace key ...`. */
export function addKeyCommands(program: Command): void {
  const key = program.command("key").alias("keys").description("create, list and revoke API keys");

  withCommonOptions(key.command("create"))
    .description("make a key and print it: the only time it is shown")
    .argument("<name>", "what the key is for")
    .action(async (name: string, options: CommonOptions) =>
      (await import("./key.js")).createKey(name, options),
    );

  withCommonOptions(key.command("list"))
    .alias("ls")
    .description("list keys")
    .option("--limit <count>", "keys on a page, 1 to 100", wholeNumber)
    .option("--cursor <cursor>", "the page to begin with")
    .action(async (options: ListKeysFlags) => (await import("./key.js")).listKeys(options));

  withCommonOptions(key.command("revoke"))
    .description("end a key at once")
    .argument("<id>", "id of the key, as key list shows it")
    .action(async (id: string, options: CommonOptions) =>
      (await import("./key.js")).revokeKey(id, options),
    );
}
