import type { AdoptionReceipt as ReceiptMessage } from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import type { Connection } from "./connection.js";
import { InternalError } from "./errors.js";
import { randomKey } from "./idempotency.js";
import {
  fromMachineMessage,
  type MachineField,
  type MachineInfo,
  pickFields,
  toFieldMask,
  toStateMessage,
  toTimeoutActionMessage,
} from "./machine-info.js";
import type {
  AdoptionReceipt,
  CreateOptions,
  GetInfoOptions,
  ListOptions,
  SetTimeoutOptions,
} from "./machine-options.js";
import { Page, type PagePromise, pagePromise } from "./page.js";

/** A template may have to be captured first for a size that was never asked for. */
const CREATE_TIMEOUT_MS = 300_000;

/** A machine that was just made. */
export interface CreatedMachine {
  id: string;
  receipt: AdoptionReceipt | undefined;
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
    };
    const { machine, receipt } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.machines.create(request, attempt),
      { idempotent: true, defaultTimeoutMs: CREATE_TIMEOUT_MS },
    );
    return { id: given(machine).id, receipt: receipt && fromReceipt(receipt) };
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

  async setTimeout(id: string, options: SetTimeoutOptions): Promise<MachineInfo> {
    const request = {
      id,
      seconds: options.seconds,
      onTimeout: toTimeoutActionMessage(options.onTimeout),
    };
    const { machine } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.machines.setTimeout(request, attempt),
      { idempotent: true },
    );
    return fromMachineMessage(given(machine));
  }
}

function fromReceipt(receipt: ReceiptMessage): AdoptionReceipt {
  return {
    generation: Number(receipt.generation),
    clockSkewMs: Number(receipt.clockSkewMs),
    entropyReseeded: receipt.entropyReseeded,
    identityRenewed: receipt.identityRenewed,
  };
}

function given<T>(value: T | undefined): T {
  if (value !== undefined) return value;
  throw new InternalError("the server's answer holds no machine", {
    remedy: "Is the server as new as this SDK?",
  });
}
