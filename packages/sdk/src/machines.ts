import type { CallOptions } from "./call.js";
import type { CommandResult } from "./commands/result.js";
import type { Connection } from "./connection.js";
import type { ForkOptions, ForkResult } from "./fork.js";
import {
  connectMachine,
  createMachine,
  forkResults,
  type Machine,
  resumeMachine,
  runOnce,
} from "./machine.js";
import { MachineCalls } from "./machine-calls.js";
import type { MachineField, MachineInfo } from "./machine-info.js";
import type {
  ConnectOptions,
  CreateOptions,
  GetInfoOptions,
  ListOptions,
  RunOnceOptions,
  SetTimeoutOptions,
} from "./machine-options.js";
import type { EgressPolicy } from "./network.js";
import type { PagePromise } from "./page.js";
import type { PreviewGrant } from "./previews/options.js";
import { Previews } from "./previews/previews.js";
import type { SnapshotInfo } from "./snapshots.js";
import {
  type CreateSshAccessOptions,
  type ListSshAccessOptions,
  type SshAccess,
  type SshAccessInfo,
  SshCalls,
} from "./ssh.js";

/** The machines of one account: what the static methods of {@link Machine} do, for this client. */
export class Machines {
  readonly #connection: Connection;
  readonly #calls: MachineCalls;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
    this.#calls = new MachineCalls(connection);
  }

  /** See {@link Machine.create}. */
  create(options: CreateOptions = {}): Promise<Machine> {
    return createMachine(this.#connection, options);
  }

  /** See {@link Machine.connect}. */
  connect(id: string, options: ConnectOptions = {}): Promise<Machine> {
    return connectMachine(this.#connection, id, options);
  }

  /** See {@link Machine.resume}. */
  resume(snapshotId: string, options: ConnectOptions = {}): Promise<Machine> {
    return resumeMachine(this.#connection, snapshotId, options);
  }

  /** See {@link Machine.pause}. */
  pause(id: string, options: CallOptions = {}): Promise<SnapshotInfo> {
    return this.#calls.pause(id, options);
  }

  /** The previews of a machine, also of a paused one, which this does not wake. */
  previews(id: string): Previews {
    return new Previews(this.#connection, id);
  }

  /** See {@link Machine.revokePreviewUrl}. */
  revokePreviewUrl(grantId: string, options: CallOptions = {}): Promise<PreviewGrant> {
    return this.previews("").revoke(grantId, options);
  }

  /** Forks a machine, as {@link Machine.fork} does; one result for each child, also for one. */
  fork(id: string, options: ForkOptions = {}): Promise<ForkResult[]> {
    return forkResults(this.#connection, id, options);
  }

  /** See {@link Machine.list}. */
  list<F extends MachineField = MachineField>(
    options: ListOptions<F> = {},
  ): PagePromise<Pick<MachineInfo, F>> {
    return this.#calls.list(options);
  }

  /** See {@link Machine.getInfo}. */
  getInfo<F extends MachineField = MachineField>(
    id: string,
    options: GetInfoOptions<F> = {},
  ): Promise<Pick<MachineInfo, F>> {
    return this.#calls.getInfo(id, options);
  }

  /** See {@link Machine.runOnce}. */
  runOnce(
    command: string,
    args?: readonly string[],
    options: RunOnceOptions = {},
  ): Promise<CommandResult> {
    return runOnce(this.#connection, command, args, options);
  }

  /** See {@link Machine.kill}. */
  kill(id: string, options: CallOptions = {}): Promise<void> {
    return this.#calls.kill(id, options);
  }

  /** See {@link Machine.updateEgress}. */
  updateEgress(id: string, policy: EgressPolicy, options: CallOptions = {}): Promise<MachineInfo> {
    return this.#calls.updateEgress(id, policy, options);
  }

  /** See {@link Machine.setTimeout}. */
  setTimeout(id: string, options: SetTimeoutOptions): Promise<MachineInfo> {
    return this.#calls.setTimeout(id, options);
  }

  /** See {@link Machine.createSshAccess}. */
  createSshAccess(id: string, options: CreateSshAccessOptions): Promise<SshAccess> {
    return new SshCalls(this.#connection).create(id, options);
  }

  /** See {@link Machine.listSshAccess}. */
  listSshAccess(id: string, options: ListSshAccessOptions = {}): PagePromise<SshAccessInfo> {
    return new SshCalls(this.#connection).list(id, options);
  }

  /** See {@link Machine.revokeSshAccess}. */
  revokeSshAccess(accessId: string, options: CallOptions = {}): Promise<SshAccessInfo> {
    return new SshCalls(this.#connection).revoke(accessId, options);
  }
}
