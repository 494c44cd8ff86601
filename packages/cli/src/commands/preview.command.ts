import { type Command, Option } from "commander";
import {
  type CommonOptions,
  collect,
  seconds,
  wholeNumber,
  withCommonOptions,
} from "../options.js";
import type { ListPreviewsFlags, ProxyFlags, UrlFlags, WaitFlags } from "./preview.js";

const MACHINE = ["<machine>", "id of the machine"] as const;
const PORT = ["<port>", "port that the service listens on", wholeNumber] as const;
const EXPIRES = ["--expires <time>", "how long, as 90s, 15m or 2h; an hour", seconds] as const;

/** Adds `nullspace preview ...`. */
export function addPreviewCommands(program: Command): void {
  const command = program
    .command("preview")
    .alias("previews")
    .description("show a port of a machine to somebody, and see who used it");

  withCommonOptions(command.command("url"))
    .description("print a URL that lets whoever has it into a port")
    .argument(...MACHINE)
    .argument(...PORT)
    .option("--websocket", "print the URL for WebSockets")
    .option(...EXPIRES)
    .addHelpText(
      "after",
      `
Examples:
  $ nullspace preview url $id 3000 --expires 10m
  $ curl "$(nullspace preview url $id 3000)"`,
    )
    .action(async (id: string, port: number, options: UrlFlags) =>
      (await import("./preview.js")).printUrl(id, port, options),
    );

  withCommonOptions(command.command("address"))
    .description("print where a port's previews are, without a way in")
    .argument(...MACHINE)
    .argument(...PORT)
    .action(async (id: string, port: number, options: CommonOptions) =>
      (await import("./preview.js")).printAddress(id, port, options),
    );

  withCommonOptions(command.command("list"))
    .alias("ls")
    .description("list the ways into a machine, newest first, and how they were used")
    .argument(...MACHINE)
    .option("--port <port>", "only those of this port", wholeNumber)
    .option("--limit <count>", "grants on a page, 1 to 100", wholeNumber)
    .option("--cursor <cursor>", "the page to begin with")
    .action(async (id: string, options: ListPreviewsFlags) =>
      (await import("./preview.js")).listPreviews(id, options),
    );

  withCommonOptions(command.command("revoke"))
    .alias("rm")
    .description("end ways into a machine, and cut what is connected through them")
    .argument("<grant...>", "ids of the grants, as list tells them")
    .action(async (ids: string[], options: CommonOptions) =>
      (await import("./preview.js")).revokePreviews(ids, options),
    );

  withCommonOptions(command.command("wait"))
    .description("wait until a port's service is there; the exit code tells whether it is")
    .argument(...MACHINE)
    .argument(...PORT)
    .option("--path <path>", "wait until it answers a request for this path")
    .option("--timeout <time>", "how long, as 90s or 5m; 30 seconds", seconds)
    .action(async (id: string, port: number, options: WaitFlags) => {
      process.exitCode = await (await import("./preview.js")).waitForPreview(id, port, options);
    });

  withCommonOptions(command.command("proxy-target"))
    .description("print what a proxy of your own needs to show a port")
    .argument(...MACHINE)
    .argument(...PORT)
    .addOption(
      new Option("--transport <transport>", "http or websocket; several times; both")
        .choices(["http", "websocket"])
        .argParser(collect),
    )
    .option(...EXPIRES)
    .action(async (id: string, port: number, options: ProxyFlags) =>
      (await import("./preview.js")).printProxyTarget(id, port, options),
    );
}
