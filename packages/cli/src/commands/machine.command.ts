import { type Command, Option } from "commander";
import type { CreateFlags, ListFlags, TimeoutFlags } from "./machine.js";
import {
  type CommonOptions,
  collectPair,
  seconds,
  wholeNumber,
  withCommonOptions,
} from "../options.js";

const STATES = [
  "creating",
  "running",
  "pausing",
  "paused",
  "resuming",
  "killing",
  "killed",
  "failed",
] as const;

/** Adds `nullspace machine ...`. */
export function addMachineCommands(program: Command): void {
  const machine = program
    .command("machine")
    .alias("machines")
    .description("create, list and kill machines");

  withCommonOptions(machine.command("create"))
    .description("start a machine and print its id")
    .option("-t, --template <name[:tag]>", "template to start from", "base")
    .option("--vcpus <count>", "virtual processors", wholeNumber)
    .option("--memory-mb <MiB>", "memory", wholeNumber)
    .option("--disk-mb <MiB>", "root disk", wholeNumber)
    .option("--timeout <time>", "time until it is killed, as 90s, 15m or 2h; 0 for never", seconds)
    .addOption(new Option("--on-timeout <action>", "what happens then").choices(["kill", "pause"]))
    .option("-m, --metadata <name=value>", "label; may be given several times", collectPair)
    .option("-e, --env <name=value>", "environment of every command; several times", collectPair)
    .option("--cwd <path>", "default working directory")
    .option("--idempotency-key <key>", "the same key makes the same machine")
    .addHelpText(
      "after",
      `
Examples:
  $ nullspace machine create
  $ nullspace machine create --vcpus 2 --memory-mb 1024 --timeout 2h -m purpose=build`,
    )
    .action(async (options: CreateFlags) => (await import("./machine.js")).createMachine(options));

  withCommonOptions(machine.command("list"))
    .alias("ls")
    .description("list machines, newest first")
    .addOption(new Option("--state <state...>", "only machines in these states").choices(STATES))
    .option("-t, --template <name[:tag]>", "only machines of this template")
    .option(
      "-m, --metadata <name=value>",
      "only machines with this label; several times",
      collectPair,
    )
    .option("--limit <count>", "machines on a page, 1 to 100", wholeNumber)
    .option("--cursor <cursor>", "the page to begin with")
    .option("-a, --all", "all pages")
    .action(async (options: ListFlags) => (await import("./machine.js")).listMachines(options));

  withCommonOptions(machine.command("get"))
    .description("show a machine's record")
    .argument("<machine>", "id of the machine")
    .action(async (id: string, options: CommonOptions) =>
      (await import("./machine.js")).getMachine(id, options),
    );

  withCommonOptions(machine.command("kill"))
    .alias("rm")
    .description("destroy machines and release everything they hold")
    .argument("<machine...>", "ids of the machines")
    .action(async (ids: string[], options: CommonOptions) =>
      (await import("./machine.js")).killMachines(ids, options),
    );

  withCommonOptions(machine.command("timeout"))
    .description("set a machine's deadline, counted from now")
    .argument("<machine>", "id of the machine")
    .argument("<time>", "such as 90s, 15m or 2h; 0 for never", seconds)
    .addOption(new Option("--on-timeout <action>", "what happens then").choices(["kill", "pause"]))
    .action(async (id: string, time: number, options: TimeoutFlags) =>
      (await import("./machine.js")).setMachineTimeout(id, time, options),
    );
}
