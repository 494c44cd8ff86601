import type { Command } from "commander";
import type { CreateKeyFlags, ListKeysFlags, RotateSigningFlags } from "./key.js";
import { collect, type CommonOptions, wholeNumber, withCommonOptions } from "../options.js";

/** Adds `nullspace key ...`. */
export function addKeyCommands(program: Command): void {
  const key = program.command("key").alias("keys").description("create, list and revoke API keys");

  withCommonOptions(key.command("create"))
    .description("make a key and print it: the only time it is shown")
    .argument("<name>", "what the key is for")
    .option("--project <project>", "project of the key; your own key's when not given")
    .option(
      "--scope <scope>",
      "what it may do, as in machines:read; may be given more than once; everything you may when not given",
      collect,
    )
    .action(async (name: string, options: CreateKeyFlags) =>
      (await import("./key.js")).createKey(name, options),
    );

  withCommonOptions(key.command("list"))
    .alias("ls")
    .description("list keys")
    .option("--project <project>", "keys of this project; of your own when not given")
    .option("--limit <count>", "keys on a page, 1 to 100", wholeNumber)
    .option("--cursor <cursor>", "the page to begin with")
    .action(async (options: ListKeysFlags) => (await import("./key.js")).listKeys(options));

  withCommonOptions(key.command("rotate-signing"))
    .description("sign URLs and tokens with a new key from now on; those made before stay good")
    .option("--now", "end everything that was signed before, at once")
    .action(async (options: RotateSigningFlags) =>
      (await import("./key.js")).rotateSigning(options),
    );

  withCommonOptions(key.command("revoke"))
    .description("end a key at once")
    .argument("<id>", "id of the key, as key list shows it")
    .action(async (id: string, options: CommonOptions) =>
      (await import("./key.js")).revokeKey(id, options),
    );
}
