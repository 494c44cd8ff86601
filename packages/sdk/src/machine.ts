import type { CallOptions } from "./call.js";
import { Commands } from "./commands/commands.js";
import type { CommandResult } from "./commands/result.js";
import type { ConnectionOptions } from "./configuration.js";
import { AgentConnection, type Connection } from "./connection.js";
import { defaultConnection } from "./default-connection.js";
import { ConflictError } from "./errors.js";
import { Files } from "./files/files.js";
import type { TransferUrlOptions, UploadUrlOptions } from "./files/transfer-url.js";
import { Git } from "./git/git.js";
import { MachineCalls } from "./machine-calls.js";
import type { MachineField, MachineInfo } from "./machine-info.js";
import type {
  AdoptionReceipt,
  CreateOptions,
  GetInfoOptions,
  ListOptions,
  RunOnceOptions,
  SetTimeoutOptions,
} from "./machine-options.js";
import type { PagePromise } from "./page.js";
import { Pty } from "./pty/pty.js";

/**
 * A real Linux VM with its own kernel.
 *
 * The static methods use the server and key of the environment
 * (`NULLSPACE_API_URL`, `NULLSPACE_API_KEY`) or of their options; `Nullspace`
 * has the same methods for several accounts at once.
 *
 * @example
 * ```ts
 * await using machine = await Machine.create({ template: "base" });
 * const { stdout } = await machine.commands.run("uname -a");
 * console.log(stdout);
 * // Killed here, when the scope ends.
 * ```
 */
export class Machine implements AsyncDisposable {
  readonly id: string;
  /** What the machine confirmed when it was created; undefined on a handle from `connect`. */
  readonly receipt: AdoptionReceipt | undefined;
  /** Runs commands in the machine. */
  readonly commands: Commands;
  /** Reads and writes the machine's files. */
  readonly files: Files;
  /** Git repositories in the machine. */
  readonly git: Git;
  /** Terminal sessions. */
  readonly pty: Pty;
  readonly #calls: MachineCalls;

  /** @internal Use {@link Machine.create} or {@link Machine.connect}. */
  constructor(connection: Connection, id: string, receipt?: AdoptionReceipt) {
    const agent = new AgentConnection(connection, id);
    this.id = id;
    this.receipt = receipt;
    this.commands = new Commands(agent);
    this.files = new Files(agent);
    this.git = new Git(agent);
    this.pty = new Pty(agent);
    this.#calls = new MachineCalls(connection);
  }

  /**
   * Starts a machine and resolves when its first command can run.
   *
   * Safe to retry: the SDK gives each call an idempotency key of its own and
   * retries by itself while the server cannot be reached.
   *
   * @throws NotFoundError `TEMPLATE_NOT_FOUND`, with near names in `details.nearest`
   * @throws InvalidArgumentError for a size or another value that is not allowed
   * @throws ResourceExhaustedError when the host has no room for another machine
   * @example
   * ```ts
   * await using machine = await Machine.create({ vcpus: 2, memoryMb: 1024, timeoutSeconds: 600 });
   * ```
   */
  static create(options: CreateOptions & ConnectionOptions = {}): Promise<Machine> {
    return createMachine(defaultConnection(options), options);
  }

  /**
   * Gives a handle of a running machine. Disposing the handle kills the machine,
   * as with `create`; hold it without `using` to let it run on.
   *
   * @throws NotFoundError `MACHINE_NOT_FOUND`
   * @throws ConflictError `MACHINE_NOT_RUNNING`, with `details.state`
   */
  static connect(id: string, options: CallOptions & ConnectionOptions = {}): Promise<Machine> {
    return connectMachine(defaultConnection(options), id, options);
  }

  /**
   * Lists machines, newest first: await it for a page, loop over it for all.
   *
   * @example
   * ```ts
   * for await (const { id, state } of Machine.list({ fields: ["id", "state"] })) {
   *   console.log(id, state);
   * }
   * ```
   */
  static list<F extends MachineField = MachineField>(
    options: ListOptions<F> & ConnectionOptions = {},
  ): PagePromise<Pick<MachineInfo, F>> {
    return new MachineCalls(defaultConnection(options)).list(options);
  }

  /**
   * Reads a machine's record; never wakes or changes the machine.
   *
   * @throws NotFoundError `MACHINE_NOT_FOUND`
   */
  static getInfo<F extends MachineField = MachineField>(
    id: string,
    options: GetInfoOptions<F> & ConnectionOptions = {},
  ): Promise<Pick<MachineInfo, F>> {
    return new MachineCalls(defaultConnection(options)).getInfo(id, options);
  }

  /**
   * Creates a machine, runs one command in it and kills it, whatever happens.
   * Without `args`, `command` is a line for the shell.
   *
   * @example
   * ```ts
   * const { stdout } = await Machine.runOnce("python3", ["-c", "print(6 * 7)"]);
   * ```
   */
  static runOnce(
    command: string,
    args?: readonly string[],
    options: RunOnceOptions & ConnectionOptions = {},
  ): Promise<CommandResult> {
    return runOnce(defaultConnection(options), command, args, options);
  }

  /** Destroys a machine and releases everything it held. Killing it again succeeds. */
  static kill(id: string, options: CallOptions & ConnectionOptions = {}): Promise<void> {
    return new MachineCalls(defaultConnection(options)).kill(id, options);
  }

  /** Sets a machine's deadline, counted from now. */
  static setTimeout(
    id: string,
    options: SetTimeoutOptions & ConnectionOptions,
  ): Promise<MachineInfo> {
    return new MachineCalls(defaultConnection(options)).setTimeout(id, options);
  }

  /** Destroys this machine and releases everything it held. Killing it again succeeds. */
  kill(options: CallOptions = {}): Promise<void> {
    return this.#calls.kill(this.id, options);
  }

  /** Sets this machine's deadline, counted from now. */
  setTimeout(options: SetTimeoutOptions): Promise<MachineInfo> {
    return this.#calls.setTimeout(this.id, options);
  }

  /** Reads this machine's record. */
  getInfo<F extends MachineField = MachineField>(
    options: GetInfoOptions<F> = {},
  ): Promise<Pick<MachineInfo, F>> {
    return this.#calls.getInfo(this.id, options);
  }

  /** The URL that {@link Files.uploadUrl} makes. */
  async uploadUrl(path: string, options: UploadUrlOptions = {}): Promise<string> {
    return (await this.files.uploadUrl(path, options)).url;
  }

  /** The URL that {@link Files.downloadUrl} makes. */
  async downloadUrl(path: string, options: TransferUrlOptions = {}): Promise<string> {
    return (await this.files.downloadUrl(path, options)).url;
  }

  /** Kills the machine. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** @internal {@link Machine.create} through a given connection. */
export async function createMachine(
  connection: Connection,
  options: CreateOptions,
): Promise<Machine> {
  const { id, receipt } = await new MachineCalls(connection).create(options);
  return new Machine(connection, id, receipt);
}

/** @internal {@link Machine.connect} through a given connection. */
export async function connectMachine(
  connection: Connection,
  id: string,
  options: CallOptions,
): Promise<Machine> {
  const { state, failure } = await new MachineCalls(connection).getInfo(id, {
    ...options,
    fields: ["state", "failure"],
  });
  if (state === "running") return new Machine(connection, id);
  throw new ConflictError(`machine ${id} is ${state}`, {
    reason: "MACHINE_NOT_RUNNING",
    remedy: failure ?? "Only a running machine can be connected to.",
    details: { state },
  });
}

/** @internal {@link Machine.runOnce} through a given connection. */
export async function runOnce(
  connection: Connection,
  command: string,
  args: readonly string[] | undefined,
  options: RunOnceOptions,
): Promise<CommandResult> {
  const machine = await createMachine(connection, options);
  try {
    return await machine.commands.run(command, args ? { ...options, args, shell: false } : options);
  } finally {
    await machine.kill();
  }
}
