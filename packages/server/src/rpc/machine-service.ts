import type { ServiceImpl } from "@connectrpc/connect";
import {
  MachineSchema,
  type MachineService,
  type MachineServiceCreateRequest,
  type MachineServiceListRequest,
} from "@nullspace/proto";
import { invalid, pageSize } from "../domain/limits.js";
import type { MachineState } from "../domain/machine.js";
import type { MachineRequest } from "../domain/machine-request.js";
import type { MachineQuery } from "../domain/machine-store.js";
import type { Machines } from "../domain/machines.js";
import { parseTemplate } from "../domain/templates.js";
import { applyFieldMask } from "./field-mask.js";
import {
  fromActionNumber,
  fromStateNumber,
  toMachineMessage,
  toReceiptMessage,
} from "./machine-message.js";

/** What a listing shows when no state is asked for. */
const ALL_BUT_KILLED: readonly MachineState[] = [
  "creating",
  "running",
  "pausing",
  "paused",
  "resuming",
  "killing",
  "failed",
];

/**
 * MachineService over the domain.
 *
 * @param stopping Aborted when the server begins to stop: ends watches, which would never end by themselves.
 */
export function machineService(
  machines: Machines,
  stopping: AbortSignal,
): ServiceImpl<typeof MachineService> {
  return {
    async create(request, { signal }) {
      const machine = await machines.create(toMachineRequest(request), signal);
      return {
        machine: toMachineMessage(machine),
        ...(machine.receipt && { receipt: toReceiptMessage(machine.receipt) }),
      };
    },

    async get({ id, fields }) {
      const machine = toMachineMessage(await machines.get(id));
      return { machine: applyFieldMask(MachineSchema, machine, fields) };
    },

    async list(request) {
      const { items, nextCursor } = await machines.list(toQuery(request));
      return {
        machines: items.map((machine) =>
          applyFieldMask(MachineSchema, toMachineMessage(machine), request.fields),
        ),
        nextCursor,
      };
    },

    async *watch(_request, { signal }) {
      for await (const step of machines.watch(AbortSignal.any([signal, stopping]))) {
        yield "machine" in step
          ? { machine: toMachineMessage(step.machine) }
          : { synced: step.synced };
      }
    },

    async kill({ id }, { signal }) {
      return { machine: toMachineMessage(await machines.kill(id, signal)) };
    },

    async setTimeout({ id, seconds, onTimeout }) {
      const machine = await machines.setTimeout(id, seconds, fromActionNumber(onTimeout));
      return { machine: toMachineMessage(machine) };
    },
  };
}

function toMachineRequest(request: MachineServiceCreateRequest): MachineRequest {
  const { template, vcpus, memoryMb, diskMb, timeoutSeconds, onTimeout } = request;
  const { metadata, envs, cwd, idempotencyKey } = request;
  return {
    template,
    vcpus,
    memoryMb,
    diskMb,
    timeoutSeconds,
    onTimeout: fromActionNumber(onTimeout),
    metadata,
    envs,
    cwd,
    idempotencyKey,
  };
}

function toQuery(request: MachineServiceListRequest): MachineQuery {
  const { name, tag } = parseTemplate(request.template);
  return {
    states: request.states.length === 0 ? ALL_BUT_KILLED : request.states.map(requireState),
    templateName: name || undefined,
    templateTag: tag || undefined,
    metadata: request.metadata,
    limit: pageSize(request.limit),
    cursor: request.cursor,
  };
}

function requireState(number: Parameters<typeof fromStateNumber>[0]): MachineState {
  const state = fromStateNumber(number);
  if (state !== undefined) return state;
  throw invalid("states", `holds ${number}, which is no state`, "Use states of MachineState.");
}
