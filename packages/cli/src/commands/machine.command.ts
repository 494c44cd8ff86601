import { Argument, type Command, Option } from "commander";
import { EGRESS_WORDS, type EgressWord } from "../egress/policy.js";
import type { MachineEgressFlags } from "./egress.js";
import type { CreateFlags, ListFlags, TimeoutFlags } from "./machine.js";
import type { ForkFlags, ResumeFlags, SnapshotFlags } from "./time-travel.js";
import {
  type CommonOptions,
  collect,
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

const ALLOW = "this and nothing else: 203.0.113.0/24, example.com, *.example.com; several times";
const DENY = "not this, whatever else is allowed; several times";
const RATE_LIMIT = "at most so much, in each direction";

/** Adds `nullspace machine ...`. */
export function addMachineCommands(program: Command): void {
  const machine = program
    .command("machine")
    .alias("machines")
    .description("create, list, save, copy and kill machines");

  withCommonOptions(machine.command("create"))
    .description("start a machine and print its id")
    .option("-t, --template <name[:tag]>", "template to start from (default: base)")
    .option("--snapshot <snapshot>", "start from this snapshot instead; its size is fixed")
    .option("--vcpus <count>", "virtual processors", wholeNumber)
    .option("--memory-mb <MiB>", "memory", wholeNumber)
    .option("--disk-mb <MiB>", "root disk", wholeNumber)
    .option("--timeout <time>", "time until it is killed, as 90s, 15m or 2h; 0 for never", seconds)
    .addOption(onTimeout())
    .option("--auto-resume", "when paused, resume by traffic to previews; needs --on-timeout pause")
    .option("--idle <time>", "the same happens after so long without use; 0 for never", seconds)
    .option("--delete-paused-after <time>", "when paused for so long, kill; 0 for never", seconds)
    .option("--no-public-traffic", "previews need the traffic access token too, which is printed")
    .option("--mask-host <host>", "Host that services see of previews, as 'localhost:${PORT}'")
    .addOption(
      new Option("--warm-pool <mode>", "take a machine that waits").choices([
        "prefer",
        "require",
        "off",
      ]),
    )
    .addOption(
      new Option("--egress <policy>", "what it may reach (default: allow-all)").choices(
        EGRESS_WORDS,
      ),
    )
    .option("--allow <range|name>", ALLOW, collect)
    .option("--deny <range>", DENY, collect)
    .option("--rate-limit <kbit/s>", RATE_LIMIT, wholeNumber)
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

  withCommonOptions(machine.command("egress"))
    .description("show what a machine may reach, or change it")
    .argument("<machine>", "id of the machine")
    .addArgument(new Argument("[policy]", "for everything or nothing").choices(EGRESS_WORDS))
    .option("--allow <range|name>", ALLOW, collect)
    .option("--deny <range>", DENY, collect)
    .option("--rate-limit <kbit/s>", RATE_LIMIT, wholeNumber)
    .action(async (id: string, policy: EgressWord | undefined, options: MachineEgressFlags) =>
      (await import("./egress.js")).machineEgress(id, policy, options),
    );

  addTimeTravelCommands(machine);

  withCommonOptions(machine.command("timeout"))
    .description("set a machine's deadline, counted from now")
    .argument("<machine>", "id of the machine")
    .argument("<time>", "such as 90s, 15m or 2h; 0 for never", seconds)
    .addOption(onTimeout())
    .option("--idle <time>", "the same happens after so long without use; 0 for never", seconds)
    .option("--delete-paused-after <time>", "when paused for so long, kill; 0 for never", seconds)
    .action(async (id: string, time: number, options: TimeoutFlags) =>
      (await import("./machine.js")).setMachineTimeout(id, time, options),
    );
}

function addTimeTravelCommands(machine: Command): void {
  withCommonOptions(machine.command("pause"))
    .alias("hibernate")
    .description("save memory and disk, stop the machine and print the snapshot's id")
    .argument("<machine>", "id of the machine")
    .action(async (id: string, options: CommonOptions) =>
      (await import("./time-travel.js")).pauseMachine(id, options),
    );

  withCommonOptions(machine.command("resume"))
    .description("go on with a paused machine and print the new one's id")
    .argument("<machine>", "id of the paused machine, or of its snapshot")
    .option("--timeout <time>", "as 90s, 15m or 2h; 0 for never; as before when left out", seconds)
    .action(async (id: string, options: ResumeFlags) =>
      (await import("./time-travel.js")).resumeMachine(id, options),
    );

  withCommonOptions(machine.command("fork"))
    .description("start running copies of a running machine and print their ids")
    .argument("<machine>", "id of the machine")
    .option("-n, --count <count>", "copies, 1 to 100", wholeNumber)
    .option("-m, --metadata <name=value>", "label of the copies; several times", collectPair)
    .option("-e, --env <name=value>", "added to the environment; several times", collectPair)
    .option("--timeout <time>", "of the copies, as 90s, 15m or 2h; 0 for never", seconds)
    .addOption(onTimeout())
    .option("--idempotency-key <key>", "the same key makes the same copies")
    .action(async (id: string, options: ForkFlags) =>
      (await import("./time-travel.js")).forkMachine(id, options),
    );

  withCommonOptions(machine.command("snapshot"))
    .description("save a running machine, which goes on, and print the snapshot's id")
    .argument("<machine>", "id of the machine")
    .option("--name <name>", "name of the snapshot")
    .option("-m, --metadata <name=value>", "label; may be given several times", collectPair)
    .option("--idempotency-key <key>", "the same key makes the same snapshot")
    .action(async (id: string, options: SnapshotFlags) =>
      (await import("./time-travel.js")).snapshotMachine(id, options),
    );
}

function onTimeout(): Option {
  return new Option("--on-timeout <action>", "what happens then").choices(["kill", "pause"]);
}
