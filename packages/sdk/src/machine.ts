import type { CallOptions } from "./call.js";
import { Commands } from "./commands/commands.js";
import type { CommandResult } from "./commands/result.js";
import type { ConnectionOptions } from "./configuration.js";
import { AgentConnection, type Connection } from "./connection.js";
import { defaultConnection } from "./default-connection.js";
import { InternalError } from "./errors.js";
import { Files } from "./files/files.js";
import type { Forked, ForkOptions, ForkResult } from "./fork.js";
import type { TransferUrlOptions, UploadUrlOptions } from "./files/transfer-url.js";
import { Git } from "./git/git.js";
import { MachineCalls } from "./machine-calls.js";
import type { MachineField, MachineInfo } from "./machine-info.js";
import type {
  AdoptionReceipt,
  ConnectOptions,
  CreateOptions,
  GetInfoOptions,
  ListOptions,
  RunOnceOptions,
  SetTimeoutOptions,
} from "./machine-options.js";
import type { EgressPolicy } from "./network.js";
import type { PagePromise } from "./page.js";
import { type CreateSnapshotOptions, type SnapshotInfo, Snapshots } from "./snapshots.js";
import type {
  ListPreviewsOptions,
  PreviewGrant,
  PreviewHostInfo,
  PreviewProxyOptions,
  PreviewProxyTarget,
  PreviewReadiness,
  PreviewUrl,
  SignedPreviewOptions,
  SignedPreviewUrl,
  WaitForPreviewOptions,
} from "./previews/options.js";
import { Previews } from "./previews/previews.js";
import {
  type CreateSshAccessOptions,
  type ListSshAccessOptions,
  type SshAccess,
  type SshAccessInfo,
  SshCalls,
} from "./ssh.js";
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
  /**
   * What the machine confirmed when it was created, resumed or forked; undefined on a
   * handle from `connect` of a machine that ran already.
   */
  readonly receipt: AdoptionReceipt | undefined;
  /**
   * What requests to previews carry besides, in the header `x-nullspace-traffic-access-token`.
   * Only on the handle from `create` with `network: { allowPublicTraffic: false }`: keep it.
   */
  readonly trafficAccessToken: string | undefined;
  /** Runs commands in the machine. */
  readonly commands: Commands;
  /** Reads and writes the machine's files. */
  readonly files: Files;
  /** Git repositories in the machine. */
  readonly git: Git;
  /** Terminal sessions. */
  readonly pty: Pty;
  readonly #calls: MachineCalls;
  readonly #previews: Previews;
  readonly #connection: Connection;
  #paused = false;

  /** @internal Use {@link Machine.create} or {@link Machine.connect}. */
  constructor(
    connection: Connection,
    id: string,
    receipt?: AdoptionReceipt,
    trafficAccessToken?: string,
  ) {
    const agent = new AgentConnection(connection, id);
    this.id = id;
    this.receipt = receipt;
    this.trafficAccessToken = trafficAccessToken;
    this.commands = new Commands(agent);
    this.files = new Files(agent);
    this.git = new Git(agent);
    this.pty = new Pty(agent);
    this.#calls = new MachineCalls(connection);
    this.#previews = new Previews(connection, id);
    this.#connection = connection;
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
   * Gives a handle of a running machine. A paused one is resumed first, or found
   * under the id that goes on from it: look at the handle's `id`. Disposing the
   * handle kills the machine, as with `create`; hold it without `using` to let it run on.
   *
   * @throws NotFoundError `MACHINE_NOT_FOUND`
   * @throws ConflictError `MACHINE_NOT_RUNNING`, with `details.state`;
   * `SNAPSHOT_CONSUMED` when what went on from a paused machine has ended
   */
  static connect(id: string, options: ConnectOptions & ConnectionOptions = {}): Promise<Machine> {
    return connectMachine(defaultConnection(options), id, options);
  }

  /**
   * Starts a new machine, with an id of its own, that goes on where a paused one
   * stopped: memory, processes, open files. Resuming the same snapshot again gives
   * the same machine while it runs.
   *
   * @param snapshotId What {@link Machine.pause} gave, of kind `pause`
   * @throws NotFoundError `SNAPSHOT_NOT_FOUND`
   * @throws ConflictError `SNAPSHOT_CONSUMED` when what went on from it has ended
   * @throws SnapshotIncompatibleError when this host cannot restore it; it stays as it is
   * @example
   * ```ts
   * const { id } = await machine.pause();
   * const resumed = await Machine.resume(id);
   * ```
   */
  static resume(
    snapshotId: string,
    options: ConnectOptions & ConnectionOptions = {},
  ): Promise<Machine> {
    return resumeMachine(defaultConnection(options), snapshotId, options);
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

  /** Changes what a machine may reach; see {@link updateEgress}. */
  static updateEgress(
    id: string,
    policy: EgressPolicy,
    options: CallOptions & ConnectionOptions = {},
  ): Promise<MachineInfo> {
    return new MachineCalls(defaultConnection(options)).updateEgress(id, policy, options);
  }

  /** Destroys this machine and releases everything it held. Killing it again succeeds. */
  kill(options: CallOptions = {}): Promise<void> {
    return this.#calls.kill(this.id, options);
  }

  /** Sets this machine's deadline, counted from now. */
  setTimeout(options: SetTimeoutOptions): Promise<MachineInfo> {
    return this.#calls.setTimeout(this.id, options);
  }

  /**
   * Changes what this machine may reach. When this resolves the new policy holds: connections
   * that it allows go on, those that it does not are cut.
   *
   * @throws InvalidArgumentError for a range or name that is none
   * @throws ConflictError `NETWORK_UNAVAILABLE` when the host gives machines no network
   * @throws InternalError `EGRESS_NOT_APPLIED`: until a call succeeds the machine reaches nothing
   * @example
   * ```ts
   * await machine.updateEgress({ allowDomains: ["pypi.org", "*.pythonhosted.org"] });
   * ```
   */
  updateEgress(policy: EgressPolicy, options: CallOptions = {}): Promise<MachineInfo> {
    return this.#calls.updateEgress(this.id, policy, options);
  }

  /**
   * Saves memory and disk and stops the machine; resolves to the snapshot when both
   * are safe. The machine's id stays: {@link Machine.connect} resumes it. If it
   * cannot be saved it goes on. Disposing this handle no longer kills what it was of.
   *
   * @throws ConflictError `MACHINE_NOT_RUNNING`
   * @throws InternalError `CAPTURE_FAILED`: the machine goes on as before
   */
  async pause(options: CallOptions = {}): Promise<SnapshotInfo> {
    const snapshot = await this.#calls.pause(this.id, options);
    this.#paused = true;
    return snapshot;
  }

  /** Same as {@link pause}. */
  hibernate(options: CallOptions = {}): Promise<SnapshotInfo> {
    return this.pause(options);
  }

  /**
   * Saves memory and disk of this machine, which stands still for a moment and goes
   * on. Any number of machines start from it: `Machine.create({ snapshotId })`.
   *
   * @throws ConflictError `MACHINE_NOT_RUNNING`
   * @throws InternalError `CAPTURE_FAILED`: the machine goes on as before
   * @example
   * ```ts
   * const { id: snapshotId } = await machine.createSnapshot({ name: "ready" });
   * await using copy = await Machine.create({ snapshotId });
   * ```
   */
  createSnapshot(options: CreateSnapshotOptions = {}): Promise<SnapshotInfo> {
    return new Snapshots(this.#connection).create(this.id, options);
  }

  /**
   * Starts running copies of this instant of the machine, which goes on with its
   * connections untouched. Without `count`, or with 1, resolves to the child and
   * throws why there is none; with more, resolves to one result per child.
   *
   * @throws ConflictError `MACHINE_NOT_RUNNING`
   * @throws ResourceExhaustedError when the host has no room
   * @example
   * ```ts
   * const child = await machine.fork();
   * for (const { machine: one, error } of await machine.fork({ count: 8 })) {
   *   if (error === undefined) await one.commands.run("./attempt");
   * }
   * ```
   */
  fork<const N extends number = 1>(options: ForkOptions<N> = {}): Promise<Forked<N>> {
    return forkMachine(this.#connection, this.id, options);
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

  /** Tells where a port's previews are, without a way in: to be shown and logged. */
  getPreviewUrl(port: number, options: CallOptions = {}): Promise<PreviewUrl> {
    return this.#previews.address(port, options);
  }

  /** {@link createSignedPreviewUrl}, with the host that the URLs name. */
  getHostInfo(port: number, options: SignedPreviewOptions = {}): Promise<PreviewHostInfo> {
    return this.#previews.host(port, options);
  }

  /** The URL that {@link createSignedPreviewUrl} makes. */
  async getUrl(port: number, options: SignedPreviewOptions = {}): Promise<string> {
    return (await this.#previews.sign(port, options)).url;
  }

  /** The URL for WebSockets that {@link createSignedPreviewUrl} makes. */
  async getWebsocketUrl(port: number, options: SignedPreviewOptions = {}): Promise<string> {
    return (await this.#previews.sign(port, options)).websocketUrl;
  }

  /**
   * Makes a URL that lets whoever has it into one port of this machine, until it
   * expires or is revoked. It does not wait for the service: {@link waitForPreview} does.
   *
   * @throws PermissionError `PORT_REFUSED` for port 22 and 5900 to 5999
   * @throws ConflictError `MACHINE_NOT_RUNNING` for a machine that has ended
   * @example
   * ```ts
   * const { url, grant } = await machine.createSignedPreviewUrl(3000, { expiresInSeconds: 600 });
   * console.log(url); // open it in a browser
   * await machine.revokePreviewUrl(grant.id);
   * ```
   */
  createSignedPreviewUrl(
    port: number,
    options: SignedPreviewOptions = {},
  ): Promise<SignedPreviewUrl> {
    return this.#previews.sign(port, options);
  }

  /** Lists the ways into this machine, newest first, with how they were used. */
  listPreviewUrls(options: ListPreviewsOptions = {}): PagePromise<PreviewGrant> {
    return this.#previews.list(options);
  }

  /**
   * Ends a way in, and cuts what is connected through it. Revoking it again changes nothing.
   *
   * @throws NotFoundError `PREVIEW_NOT_FOUND`
   */
  revokePreviewUrl(grantId: string, options: CallOptions = {}): Promise<PreviewGrant> {
    return this.#previews.revoke(grantId, options);
  }

  /**
   * Waits until a service is there: until it takes connections or, with `path`, answers
   * with a status below 500. A service that is not there in time is a result: look at `ready`.
   *
   * @example
   * ```ts
   * await machine.commands.run("python3 -m http.server 8000", { background: true });
   * const { ready, message } = await machine.waitForPreview(8000, { path: "/" });
   * if (!ready) throw new Error(message);
   * ```
   */
  waitForPreview(port: number, options: WaitForPreviewOptions = {}): Promise<PreviewReadiness> {
    return this.#previews.wait(port, options);
  }

  /**
   * Makes what a proxy of your own needs to show one port under a name of yours: where it
   * sends requests, and the tokens that it adds to them in a header.
   *
   * @throws as {@link createSignedPreviewUrl}
   */
  createPreviewProxyTarget(
    port: number,
    options: PreviewProxyOptions = {},
  ): Promise<PreviewProxyTarget> {
    return this.#previews.proxyTarget(port, options);
  }

  /**
   * Signs your public key for this machine, so that stock OpenSSH gets in for a while:
   * a certificate, a line for `known_hosts`, and a token for the relay that carries the
   * connection. `nullspace ssh` does all of it.
   *
   * @throws InvalidArgumentError when the key is not one, or is too weak
   * @throws ConflictError `MACHINE_NOT_RUNNING`; `SSH_UNAVAILABLE` when the machine has no OpenSSH
   * @example
   * ```ts
   * const { certificate, knownHosts, relayUrl } = await machine.createSshAccess({
   *   publicKey: await readFile("key.pub", "utf8"),
   *   expiresInMinutes: 15,
   * });
   * ```
   */
  createSshAccess(options: CreateSshAccessOptions): Promise<SshAccess> {
    return new SshCalls(this.#connection).create(this.id, options);
  }

  /** Lists what {@link createSshAccess} granted for this machine, newest first. */
  listSshAccess(options: ListSshAccessOptions = {}): PagePromise<SshAccessInfo> {
    return new SshCalls(this.#connection).list(this.id, options);
  }

  /**
   * Ends an access at once, with the connections that it was used for. Revoking it again succeeds.
   *
   * @throws NotFoundError `SSH_ACCESS_NOT_FOUND`
   */
  revokeSshAccess(accessId: string, options: CallOptions = {}): Promise<SshAccessInfo> {
    return new SshCalls(this.#connection).revoke(accessId, options);
  }

  /** Kills the machine, unless it was paused through this handle: who saves it wants it again. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#paused) await this.kill();
  }
}

/** @internal {@link Machine.create} through a given connection. */
export async function createMachine(
  connection: Connection,
  options: CreateOptions,
): Promise<Machine> {
  const { id, receipt, trafficAccessToken } = await new MachineCalls(connection).create(options);
  return new Machine(connection, id, receipt, trafficAccessToken);
}

/** @internal {@link Machine.connect} through a given connection. */
export async function connectMachine(
  connection: Connection,
  id: string,
  options: ConnectOptions,
): Promise<Machine> {
  const found = await new MachineCalls(connection).connect(id, options);
  return new Machine(connection, found.id, found.receipt);
}

/** @internal {@link Machine.resume} through a given connection. */
export async function resumeMachine(
  connection: Connection,
  snapshotId: string,
  options: ConnectOptions,
): Promise<Machine> {
  const { id, receipt } = await new MachineCalls(connection).resume(snapshotId, options);
  return new Machine(connection, id, receipt);
}

/** @internal {@link Machine.fork} through a given connection. */
export async function forkMachine<N extends number>(
  connection: Connection,
  id: string,
  options: ForkOptions<N>,
): Promise<Forked<N>> {
  const results = await forkResults(connection, id, options);
  // What the type says for N is decided by its value, which only the caller's types know.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return ((options.count ?? 1) === 1 ? onlyChild(results) : results) as Forked<N>;
}

/** @internal One result for each child, whatever their number. */
export async function forkResults(
  connection: Connection,
  id: string,
  options: ForkOptions,
): Promise<ForkResult[]> {
  const outcomes = await new MachineCalls(connection).fork(id, options);
  return outcomes.map((outcome) =>
    "error" in outcome
      ? outcome
      : { machine: new Machine(connection, outcome.created.id, outcome.created.receipt) },
  );
}

function onlyChild([result]: readonly ForkResult[]): Machine {
  if (result?.machine !== undefined) return result.machine;
  throw result?.error ?? new InternalError("the server's answer holds no child");
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
