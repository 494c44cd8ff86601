import { type Command, InvalidArgumentError, Option } from "commander";
import type { ListFlags, MakeDirFlags, RemoveFlags, UrlFlags, WriteFlags } from "./files.js";
import type { FindFlags, ReplaceFlags, SearchFlags, WatchFlags } from "./files-search.js";
import {
  collect,
  type CommonOptions,
  permissionBits,
  seconds,
  wholeNumber,
  withCommonOptions,
} from "../options.js";

const MACHINE = ["<machine>", "id of the machine"] as const;
const USER = ["-u, --user <name>", "owner of what is made"] as const;

/** Adds `nullspace files ...`. */
export function addFilesCommands(program: Command): void {
  const files = program
    .command("files")
    .alias("file")
    .description("look at and change a machine's files; nullspace cp copies them")
    .addHelpText(
      "after",
      `
Examples:
  $ nullspace files ls $id src --depth 2
  $ echo hello | nullspace files write $id notes.txt
  $ nullspace files search $id TODO src -g '*.ts'
  $ curl -OJ "$(nullspace files download-url $id report.pdf)"`,
    );
  addChanging(files);
  addFinding(files);
}

function addChanging(files: Command): void {
  withCommonOptions(files.command("ls"))
    .alias("list")
    .description("list what is in a folder")
    .argument(...MACHINE)
    .argument("[path]", "folder", ".")
    .option("--depth <levels>", "levels below the folder", wholeNumber, 1)
    .option("-l, --long", "with permissions, owner, size and time")
    .action(async (id: string, path: string, options: ListFlags) =>
      (await import("./files.js")).list(id, path, options),
    );

  withCommonOptions(files.command("cat"))
    .alias("read")
    .description("print files, byte by byte")
    .argument(...MACHINE)
    .argument("<path...>", "files")
    .action(async (id: string, paths: string[], options: CommonOptions) =>
      (await import("./files.js")).cat(id, paths, options),
    );

  withCommonOptions(files.command("write"))
    .description("write standard input to a file, at once when it is complete")
    .argument(...MACHINE)
    .argument("<path>", "file; its parents are made")
    .option("-m, --mode <bits>", "permission bits of a new file, as 644", permissionBits)
    .option(...USER)
    .action(async (id: string, path: string, options: WriteFlags) =>
      (await import("./files.js")).write(id, path, options),
    );

  withCommonOptions(files.command("mkdir"))
    .description("make folders and their parents; those that are there are fine")
    .argument(...MACHINE)
    .argument("<path...>", "folders")
    .option("-m, --mode <bits>", "permission bits, as 755", permissionBits)
    .option(...USER)
    .action(async (id: string, paths: string[], options: MakeDirFlags) =>
      (await import("./files.js")).makeDirs(id, paths, options),
    );

  withCommonOptions(files.command("mv"))
    .alias("rename")
    .description("rename or move a file or folder")
    .argument(...MACHINE)
    .argument("<from>", "path now")
    .argument("<to>", "path then; a file there is replaced")
    .action(async (id: string, from: string, to: string, options: CommonOptions) =>
      (await import("./files.js")).move(id, from, to, options),
    );

  withCommonOptions(files.command("rm"))
    .description("remove files, and with -r folders")
    .argument(...MACHINE)
    .argument("<path...>", "what to remove")
    .option("-r, --recursive", "folders with all they hold")
    .action(async (id: string, paths: string[], options: RemoveFlags) =>
      (await import("./files.js")).remove(id, paths, options),
    );

  withCommonOptions(files.command("stat"))
    .alias("info")
    .description("tell about files and folders")
    .argument(...MACHINE)
    .argument("<path...>", "paths")
    .action(async (id: string, paths: string[], options: CommonOptions) =>
      (await import("./files.js")).stat(id, paths, options),
    );

  withCommonOptions(files.command("chmod"))
    .description("set permission bits")
    .argument(...MACHINE)
    .argument("<mode>", "permission bits, as 644", permissionBits)
    .argument("<path...>", "paths")
    .option("-r, --recursive", "all that folders hold, too")
    .action(async (id: string, mode: number, paths: string[], options: RemoveFlags) =>
      (await import("./files.js")).changeMode(id, mode, paths, options),
    );

  for (const direction of ["download", "upload"] as const) {
    withCommonOptions(files.command(`${direction}-url`))
      .description(`print a URL that lets whoever has it ${direction} one file`)
      .argument(...MACHINE)
      .argument("<path>", "file")
      .option("--expires <time>", "how long it is good, 60s to 24h", seconds, 3600)
      .action(async (id: string, path: string, options: UrlFlags) =>
        (await import("./files.js")).makeUrl(id, path, direction, options),
      );
  }
}

function addFinding(files: Command): void {
  withCommonOptions(files.command("find"))
    .description("find files and folders by name")
    .argument(...MACHINE)
    .argument("<glob>", "as '*.ts'; with a / it is matched with paths below the folder")
    .argument("[path]", "folder", ".")
    .addOption(
      new Option("-t, --type <type>", "only these").choices(["file", "directory", "symlink"]),
    )
    .option("--limit <count>", "most to tell", wholeNumber, 1000)
    .action(async (id: string, glob: string, path: string, options: FindFlags) =>
      (await import("./files-search.js")).find(id, glob, path, options),
    );

  withPatternOptions(files.command("search"))
    .alias("grep")
    .description("search the contents of files; exit code 1 when nothing matches")
    .argument(...MACHINE)
    .argument("<text>", "what to look for")
    .argument("[path]", "folder or file", ".")
    .option("--limit <count>", "most lines to tell", wholeNumber, 1000)
    .action(async (id: string, text: string, path: string, options: SearchFlags) => {
      process.exitCode = await (await import("./files-search.js")).search(id, text, path, options);
    });

  withPatternOptions(files.command("replace"))
    .description("replace text in files")
    .argument(...MACHINE)
    .argument("<text>", "what to look for")
    .argument("<replacement>", "what to put there; $1 is a group of a regular expression")
    .argument("[path]", "folder or file", ".")
    .option("--dry-run", "tell what would be changed, and change nothing")
    .action(async (id: string, text: string, by: string, path: string, options: ReplaceFlags) =>
      (await import("./files-search.js")).replace(id, text, by, path, options),
    );

  withCommonOptions(files.command("watch"))
    .description("tell what happens to a file or in a folder, until Ctrl-C")
    .argument(...MACHINE)
    .argument("[path]", "file or folder", ".")
    .option("-r, --recursive", "all folders below, too")
    .option("--count <events>", "end after so many", positive)
    .action(async (id: string, path: string, options: WatchFlags) =>
      (await import("./files-search.js")).watch(id, path, options),
    );
}

function withPatternOptions(command: Command): Command {
  return withCommonOptions(command)
    .option("-e, --regex", "the text is a regular expression")
    .option("-i, --ignore-case", "upper and lower case are the same")
    .option(
      "-g, --glob <glob>",
      "only files like this, or with ! in front no such; several times",
      collect,
    )
    .option("--hidden", "hidden files and folders, too")
    .option("--ignored", "what .gitignore excludes, too");
}

function positive(value: string): number {
  const number = wholeNumber(value);
  if (number === 0) throw new InvalidArgumentError("It must be 1 or more.");
  return number;
}
