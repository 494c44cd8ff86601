import type {
  AdoptionReceipt as ReceiptMessage,
  Machine as MachineMessage,
} from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import type { Connection } from "./connection.js";
import { InternalError } from "./errors.js";
import { type ForkOptions, type ForkOutcome, fromForkResult } from "./fork.js";
import { randomKey } from "./idempotency.js";
import {
  fromMachineMessage,
  type MachineField,
  type MachineInfo,
  pickFields,
  toFieldMask,
  toStateMessage,
  toTimeoutActionMessage,
  toWarmPoolMessage,
} from "./machine-info.js";
import {
  type AdoptionReceipt,
  type ConnectOptions,
  type CreateOptions,
  fromReceipt,
  type GetInfoOptions,
  type ListOptions,
  type SetTimeoutOptions,
} from "./machine-options.js";
import { CAPTURE_TIMEOUT_MS, fromSnapshotMessage, type SnapshotInfo } from "./snapshots.js";
import { type EgressPolicy, toEgressMessage, toNetworkMessage } from "./network.js";
import { Page, type PagePromise, pagePromise } from "./page.js";

/** A template may have to be captured first for a size that was never asked for. */
const CREATE_TIMEOUT_MS = 300_000;

/** A machine that was just made. */
export interface CreatedMachine {
  id: string;
  receipt: AdoptionReceipt | undefined;
  trafficAccessToken?: string | undefined;
}

/** The calls of MachineService, in the words of the SDK. */
export class MachineCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async create(options: CreateOptions): Promise<CreatedMachine> {
    const request = {
      template: options.template ?? "",
      vcpus: options.vcpus ?? 0,
      memoryMb: options.memoryMb ?? 0,
      diskMb: options.diskMb ?? 0,
      ...(options.timeoutSeconds !== undefined && { timeoutSeconds: options.timeoutSeconds }),
      onTimeout: toTimeoutActionMessage(options.onTimeout),
      metadata: options.metadata ?? {},
      envs: options.envs ?? {},
      cwd: options.cwd ?? "",
      idempotencyKey: options.idempotencyKey ?? randomKey(),
      snapshotId: options.snapshotId ?? "",
      autoResume: options.autoResume ?? false,
      idleSeconds: options.idleSeconds ?? 0,
      deletePausedAfterSeconds: options.deletePausedAfterSeconds ?? 0,
      warmPool: toWarmPoolMessage(options.warmPool),
      network: toNetworkMessage(options.network),
    };
    const { machine, receipt, trafficAccessToken } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.machines.create(request, attempt),
      { idempotent: true, defaultTimeoutMs: CREATE_TIMEOUT_MS },
    );
    return {
      ...created({ machine, receipt }),
      trafficAccessToken: trafficAccessToken || undefined,
    };
  }

  async connect(id: string, options: ConnectOptions): Promise<CreatedMachine> {
    const { timeoutSeconds } = options;
    const request = { id, ...(timeoutSeconds !== undefined && { timeoutSeconds }) };
    return created(
      await this.#connection.unary(
        options,
        (attempt) => this.#connection.machines.connect(request, attempt),
        { idempotent: true, defaultTimeoutMs: CREATE_TIMEOUT_MS },
      ),
    );
  }

  async resume(snapshotId: string, options: ConnectOptions): Promise<CreatedMachine> {
    const { timeoutSeconds } = options;
    const request = { snapshotId, ...(timeoutSeconds !== undefined && { timeoutSeconds }) };
    return created(
      await this.#connection.unary(
        options,
        (attempt) => this.#connection.machines.resume(request, attempt),
        { idempotent: true, defaultTimeoutMs: CREATE_TIMEOUT_MS },
      ),
    );
  }

  async pause(id: string, options: CallOptions): Promise<SnapshotInfo> {
    const { snapshot } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.machines.pause({ id }, attempt),
      { idempotent: true, defaultTimeoutMs: CAPTURE_TIMEOUT_MS },
    );
    return fromSnapshotMessage(snapshot);
  }

  async fork(id: string, options: ForkOptions): Promise<ForkOutcome[]> {
    const request = {
      id,
      count: options.count ?? 1,
      idempotencyKey: options.idempotencyKey ?? randomKey(),
      metadata: options.metadata ?? {},
      envs: options.envs ?? {},
      ...(options.timeoutSeconds !== undefined && { timeoutSeconds: options.timeoutSeconds }),
      onTimeout: toTimeoutActionMessage(options.onTimeout),
    };
    const { results } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.machines.fork(request, attempt),
      { idempotent: true, defaultTimeoutMs: CAPTURE_TIMEOUT_MS },
    );
    return results.map(fromForkResult);
  }

  async getInfo<F extends MachineField>(
    id: string,
    options: GetInfoOptions<F>,
  ): Promise<Pick<MachineInfo, F>> {
    const fields = toFieldMask(options.fields);
    const request = fields ? { id, fields } : { id };
    const { machine } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.machines.get(request, attempt),
      { idempotent: true },
    );
    return pickFields(fromMachineMessage(given(machine)), options.fields);
  }

  list<F extends MachineField>(options: ListOptions<F>): PagePromise<Pick<MachineInfo, F>> {
    return pagePromise(this.#page(options, options.cursor ?? ""));
  }

  async #page<F extends MachineField>(
    options: ListOptions<F>,
    cursor: string,
  ): Promise<Page<Pick<MachineInfo, F>>> {
    const states = options.state === undefined ? [] : [options.state].flat();
    const fields = toFieldMask(options.fields);
    const request = {
      states: states.map(toStateMessage),
      template: options.template ?? "",
      metadata: options.metadata ?? {},
      limit: options.limit ?? 0,
      cursor,
      ...(fields && { fields }),
    };
    const response = await this.#connection.unary(
      options,
      (attempt) => this.#connection.machines.list(request, attempt),
      { idempotent: true },
    );
    const items = response.machines.map((machine) =>
      pickFields(fromMachineMessage(machine), options.fields),
    );
    return new Page(items, response.nextCursor, (next) => this.#page(options, next));
  }

  async kill(id: string, options: CallOptions): Promise<void> {
    await this.#connection.unary(
      options,
      (attempt) => this.#connection.machines.kill({ id }, attempt),
      { idempotent: true },
    );
  }

  async updateEgress(id: string, policy: EgressPolicy, options: CallOptions): Promise<MachineInfo> {
    const request = { id, egress: toEgressMessage(policy) };
    const { machine } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.machines.updateEgress(request, attempt),
      { idempotent: true },
    );
    return fromMachineMessage(given(machine));
  }

  async setTimeout(id: string, options: SetTimeoutOptions): Promise<MachineInfo> {
    const { idleSeconds, deletePausedAfterSeconds } = options;
    const request = {
      id,
      seconds: options.seconds,
      onTimeout: toTimeoutActionMessage(options.onTimeout),
      ...(idleSeconds !== undefined && { idleSeconds }),
      ...(deletePausedAfterSeconds !== undefined && { deletePausedAfterSeconds }),
    };
    const { machine } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.machines.setTimeout(request, attempt),
      { idempotent: true },
    );
    return fromMachineMessage(given(machine));
  }
}

function created(answer: {
  machine?: MachineMessage | undefined;
  receipt?: ReceiptMessage | undefined;
}): CreatedMachine {
  const { machine, receipt } = answer;
  return { id: given(machine).id, receipt: receipt && fromReceipt(receipt) };
}

function given<T>(value: T | undefined): T {
  if (value !== undefined) return value;
  throw new InternalError("the server's answer holds no machine", {
    remedy: "Is the server as new as this SDK?",
  });
}
