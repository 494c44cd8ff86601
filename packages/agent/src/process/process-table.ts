import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import { fromJsonString } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@nullspace/proto";
import { ProcessSchema, type StartRequest } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { StateStore } from "../guest/state.js";
import type { User, UserDatabase } from "../guest/users.js";
import {
  type ExitStatus,
  type GuestHelper,
  HelperError,
  type HeldProcess,
} from "../helper/guest-helper.js";
import { environment } from "./environment.js";
import { GuestProcess, type ProcessDescription } from "./guest-process.js";
import { plainWords } from "./plain-line.js";
import { Stdio } from "./stdio.js";

const BASH = "/bin/bash";

/** How many ended processes are remembered. */
const MOST_ENDED = 64;

/** How a process is started, besides what its request says. */
export interface StartOptions {
  /** False for the agent's own business, which clients are not shown. */
  listed?: boolean;
  /** In a terminal of this size instead of with pipes: all output is one stream, stdout. */
  terminal?: { cols: number; rows: number };
  /** Told to the next agent about the process, besides what it is. */
  meta?: Readonly<Record<string, unknown>>;
}

interface Spawn {
  description: ProcessDescription;
  user: User;
  stdin: string;
  argv: string[];
  env: string[];
  meta: Readonly<Record<string, unknown>> | undefined;
}

/** Every process the agent has started: those that run, and the last that ended. */
export class ProcessTable {
  readonly #helper: GuestHelper;
  readonly #users: UserDatabase;
  readonly #state: StateStore;
  readonly #onError: (error: unknown) => void;
  readonly #processes = new Map<number, GuestProcess>();
  /** Ends of processes whose start has not been answered yet. */
  readonly #early = new Map<number, ExitStatus>();
  /** Processes of the agent's own. */
  readonly #unlisted = new WeakSet<GuestProcess>();
  #shell: string | undefined;

  constructor(
    helper: GuestHelper,
    users: UserDatabase,
    state: StateStore,
    onError: (error: unknown) => void,
  ) {
    this.#helper = helper;
    this.#users = users;
    this.#state = state;
    this.#onError = onError;
    for (const { meta, ...held } of helper.inherited) this.#inherit(held, describeAgain(meta));
    helper.listen((pid, status) => {
      const known = this.#processes.get(pid);
      if (known === undefined || known.exited) this.#early.set(pid, status);
      else known.onExit(status);
    });
  }

  /**
   * Starts a process as a request says.
   *
   * @throws Fault PROCESS_START_FAILED, or INVALID_ARGUMENT for what no process can be given.
   */
  async start(request: StartRequest, options: StartOptions = {}): Promise<GuestProcess> {
    const { listed = true, terminal, meta } = options;
    const user = this.#users.find(request.user, ErrorReason.PROCESS_START_FAILED);
    const { machine } = this.#state;
    const cwd = resolve(machine.cwd, request.cwd);
    const isShellLine = request.args.length === 0 && !request.exec;
    const env = environment(user, machine.envs, request.envs);
    const shell = this.#findShell();
    const argv = isShellLine ? [shell, "-c", request.command] : [request.command, ...request.args];
    const plain = isShellLine && shell === BASH ? plainWords(request.command, env) : undefined;
    rejectUnusable({ command: request.command, args: `.${request.args.join("")}`, cwd });
    const isShown = listed || terminal !== undefined;
    const description: ProcessDescription = {
      // No command of a client's is empty: a next agent knows the work of a former one by it.
      command: isShown ? request.command : "",
      args: isShown ? request.args : [],
      cwd,
      user: user.name,
      startedAt: Date.now(),
    };
    const pipes = request.stdin ? "1" : "0";
    const stdin = terminal === undefined ? pipes : `${terminal.cols}x${terminal.rows}`;
    const spawn = { description, user, stdin, env, meta };
    const held =
      (plain && (await this.#trySpawnLine({ ...spawn, argv: plain }))) ??
      (await this.#spawn({ ...spawn, argv }));
    const process = this.#add(held, description, false, listed);
    if (request.timeoutMs > 0) process.limitTime(request.timeoutMs);
    const ended = this.#early.get(held.pid);
    if (ended !== undefined) {
      this.#early.delete(held.pid);
      process.onExit(ended);
    }
    return process;
  }

  /**
   * The process of a pid.
   *
   * @throws Fault PROCESS_NOT_FOUND when it is not remembered.
   */
  get(pid: number): GuestProcess {
    const process = this.#processes.get(pid);
    if (process !== undefined) return process;
    throw new Fault(ErrorReason.PROCESS_NOT_FOUND, `no process has pid ${pid}`, {
      remedy: `List the processes: those that run and the last ${MOST_ENDED} that ended are known.`,
      details: { pid: String(pid) },
    });
  }

  /** Every process that is known, newest first. */
  list(): GuestProcess[] {
    return [...this.#processes.values()]
      .filter((process) => !this.#unlisted.has(process))
      .toReversed();
  }

  /**
   * Gives a process's terminal another size; its programs are told by the kernel.
   *
   * @throws Error when the process has ended.
   */
  async resizeTerminal(pid: number, cols: number, rows: number): Promise<void> {
    await this.#helper.request("resize", String(pid), String(cols), String(rows));
  }

  /** Processes with a terminal that a former agent started, with what it left about them. */
  get inheritedTerminals(): { pid: number; meta: string }[] {
    return this.#helper.inherited.filter(({ stderr }) => stderr < 0);
  }

  /** Forgets every process that has ended. */
  forgetEnded(): void {
    for (const [pid, { exited }] of this.#processes) if (exited) this.#processes.delete(pid);
  }

  /** Nothing when it cannot be started: what a shell says of that, only a shell knows. */
  async #trySpawnLine(spawn: Spawn): Promise<HeldProcess | undefined> {
    try {
      return await this.#request("spawn-line", spawn);
    } catch (error) {
      if (error instanceof HelperError) return undefined;
      throw error;
    }
  }

  async #spawn(spawn: Spawn): Promise<HeldProcess> {
    try {
      return await this.#request("spawn", spawn);
    } catch (error) {
      const { description, argv } = spawn;
      throw error instanceof HelperError ? startFailed(error, description, argv[0] ?? "") : error;
    }
  }

  async #request(verb: "spawn" | "spawn-line", spawn: Spawn): Promise<HeldProcess> {
    const { description, user, stdin, argv, env, meta } = spawn;
    const values = await this.#helper.request(
      verb,
      JSON.stringify({ ...description, startedAt: new Date(description.startedAt), ...meta }),
      String(user.uid),
      String(user.gid),
      user.groups.join(","),
      description.cwd,
      stdin,
      String(argv.length),
      ...argv,
      ...env,
    );
    const [pid = 0, stdinFd = -1, stdout = -1, stderr = -1] = values.map(Number);
    return { pid, stdin: stdinFd, stdout, stderr };
  }

  #inherit(held: HeldProcess, description: ProcessDescription): void {
    // Terminals have a list of their own, and live on for their viewers.
    const hasTerminal = held.stderr < 0;
    const isClients = description.command !== "";
    const process = this.#add(held, description, true, isClients && !hasTerminal);
    // Whoever wanted it is gone with the former agent.
    if (!isClients && !hasTerminal) process.terminate();
  }

  #add(
    held: HeldProcess,
    description: ProcessDescription,
    inherited: boolean,
    listed: boolean,
  ): GuestProcess {
    const { pid } = held;
    const tell = (verb: string) => {
      this.#helper.request(verb, String(pid)).catch((error: unknown) => {
        // A helper that is gone has said so itself, once.
        if (this.#helper.connected) this.#onError(error);
      });
    };
    const stdio = new Stdio(this.#helper.pid, held, () => tell("close-stdin"));
    const process = new GuestProcess(pid, description, stdio, inherited);
    // A pid may come again; what is newest stands last.
    this.#processes.delete(pid);
    this.#processes.set(pid, process);
    if (!listed) this.#unlisted.add(process);
    process.onEnded(() => {
      tell("release");
      // What the agent started for itself must not push a client's processes out of the list.
      if (listed) this.#forgetOldest();
      else if (this.#processes.get(pid) === process) this.#processes.delete(pid);
    });
    return process;
  }

  #forgetOldest(): void {
    const ended = [...this.#processes.values()].filter(({ exited }) => exited);
    for (const { pid } of ended.slice(0, -MOST_ENDED)) this.#processes.delete(pid);
  }

  #findShell(): string {
    // Looked up once: a shell that is removed later fails to start, and says so.
    this.#shell ??= existsSync(BASH) ? BASH : "/bin/sh";
    return this.#shell;
  }
}

/** Reads what the helper kept of a process: the Protobuf JSON of its description. */
function describeAgain(meta: string): ProcessDescription {
  const { command, args, cwd, user, startedAt } = fromJsonString(ProcessSchema, meta, {
    ignoreUnknownFields: true,
  });
  return { command, args, cwd, user, startedAt: startedAt ? timestampMs(startedAt) : 0 };
}

function rejectUnusable(fields: Record<string, string>): void {
  for (const [field, value] of Object.entries(fields)) {
    if (value !== "" && !value.includes("\0")) continue;
    throw new Fault(ErrorReason.INVALID_ARGUMENT, `${field} is empty or holds a NUL byte`, {
      remedy: `Give a ${field} without NUL bytes.`,
      details: { field },
    });
  }
}

function startFailed(
  { step, errno }: HelperError,
  { cwd, user }: ProcessDescription,
  program: string,
): Fault {
  const why = getSystemErrorMessage(-errno) ?? getSystemErrorName(-errno);
  const details = { errno: getSystemErrorName(-errno) };
  switch (step) {
    case "cwd":
      return new Fault(ErrorReason.PROCESS_START_FAILED, `cannot enter the folder ${cwd}: ${why}`, {
        remedy: `Make it first, or give ${user} the right to enter it.`,
        details: { ...details, cwd },
      });
    case "exec":
      return new Fault(ErrorReason.PROCESS_START_FAILED, `cannot run ${program}: ${why}`, {
        remedy: "Name a program that is installed and executable, by its path or on PATH.",
        details: { ...details, program },
      });
    default:
      return new Fault(
        ErrorReason.PROCESS_START_FAILED,
        `cannot start a process (${step}): ${why}`,
        {
          remedy: "The machine may have run out of processes, memory or open files.",
          details,
        },
      );
  }
}
