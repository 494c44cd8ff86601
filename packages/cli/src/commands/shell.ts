import { constants } from "node:os";
import type { Machine, PtyInfo, PtySession } from "@nullspace/sdk";
import { openClient } from "../client.js";
import { Keyboard } from "../keyboard.js";
import type { CommonOptions } from "../options.js";
import { writeTo } from "../pass-through.js";
import { RawTerminal } from "../raw-terminal.js";
import { duration, hint, print, printJson, styled, table } from "../terminal.js";
import { UsageError } from "../usage-error.js";

/** Options of `nullspace shell`. */
export interface ShellFlags extends CommonOptions {
  cwd?: string;
  env?: Record<string, string>;
  user?: string;
  detach?: boolean;
  attach?: string;
  list?: boolean;
  kill?: string;
}

/** Signals that end this program, and leave the session alone. */
const LEAVING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** `nullspace shell`: gives the exit code of the session's program. */
export async function shell(id: string, command: string[], flags: ShellFlags): Promise<number> {
  const { attach, list, kill, detach, json } = flags;
  if ([attach, list, kill].filter(Boolean).length > 1 || (detach && (attach ?? list ?? kill))) {
    throw new UsageError("give one of --detach, --attach, --list and --kill");
  }
  if (command.length > 0 && (attach ?? list ?? kill)) {
    throw new UsageError("a command begins a new session: leave --attach, --list and --kill out");
  }
  await using client = await openClient(flags);
  const machine = await client.machines.connect(id);
  if (list) await listSessions(machine, json === true);
  else if (kill !== undefined) {
    await machine.pty.kill(kill);
    if (json) printJson({ killed: kill });
  } else {
    const session =
      attach === undefined
        ? await begin(machine, command, flags)
        : await machine.pty.connect(attach, { ...RawTerminal.size, answersQueries: isTerminal() });
    if (detach) {
      if (json) printJson({ sessionId: session.id, pid: session.pid });
      else print(`${session.id}\n`);
      hint(`show it: nullspace shell ${id} --attach ${session.id}`);
      return 0;
    }
    return await show(machine, session);
  }
  return 0;
}

async function begin(
  machine: Machine,
  [program, ...args]: string[],
  { cwd, env: envs, user }: ShellFlags,
): Promise<PtySession> {
  const place = { cwd, envs, user, ...RawTerminal.size, answersQueries: isTerminal() };
  return machine.pty.create(program === undefined ? place : { ...place, command: program, args });
}

/** Whether what the program asks its terminal can be answered from here. */
function isTerminal(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY;
}

/** Connects this terminal with a session until it ends or is left. */
async function show(machine: Machine, session: PtySession): Promise<number> {
  let left: NodeJS.Signals | "detach" | undefined;
  const leave = (how: NodeJS.Signals | "detach") => {
    left ??= how;
    session.disconnect();
  };
  const onOutputError = () => leave("SIGHUP");
  const resizing = new Resizing(session);
  process.stdout.on("resize", resizing.follow).on("error", onOutputError);
  for (const signal of LEAVING) process.on(signal, leave);
  using terminal = RawTerminal.enter();
  using _keyboard = new Keyboard(session, () => leave("detach"));
  try {
    for await (const { kind, data } of session) {
      if (kind !== "resize") await writeTo(process.stdout, data);
    }
    if (left === undefined) return (await session.wait()).exitCode;
  } catch (error) {
    if (left === undefined) throw error;
  } finally {
    for (const signal of LEAVING) process.off(signal, leave);
    process.stdout.off("resize", resizing.follow).off("error", onOutputError);
  }
  terminal.calm();
  const again = `nullspace shell ${machine.id} --attach ${session.id}`;
  hint(`left ${session.id}, which goes on: ${again}`);
  return left === "detach" ? 0 : 128 + constants.signals[left];
}

/** Gives the session this terminal's size whenever it changes: the last size wins. */
class Resizing {
  readonly #session: PtySession;
  #busy = false;
  #again = false;

  constructor(session: PtySession) {
    this.#session = session;
  }

  readonly follow = (): void => {
    this.#again = true;
    if (this.#busy) return;
    this.#busy = true;
    void this.#run().finally(() => (this.#busy = false));
  };

  async #run(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      const { size } = RawTerminal;
      // A session that has ended has no size.
      if (size !== undefined) await this.#session.resize(size).catch(() => undefined);
    }
  }
}

async function listSessions(machine: Machine, json: boolean): Promise<void> {
  const items = await machine.pty.list();
  if (json) return printJson({ items });
  if (items.length === 0) return hint(`no sessions; begin one: nullspace shell ${machine.id}`);
  print(table(["SESSION", "STATE", "USER", "AGE", "SIZE", "VIEWERS", "COMMAND"], items.map(rowOf)));
}

function rowOf(info: PtyInfo): string[] {
  const { exit } = info;
  const ended = exit && styled("dim", exit.signal ?? `exit ${exit.exitCode}`);
  return [
    info.id,
    ended ?? styled("green", "running"),
    info.user,
    info.startedAt === undefined ? "" : duration(Date.now() - info.startedAt.getTime()),
    `${info.cols}x${info.rows}`,
    String(info.viewers),
    [info.command, ...info.args].join(" "),
  ];
}
