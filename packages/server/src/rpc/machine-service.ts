import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type Machine as MachineMessage,
  MachineSchema,
  type MachineService,
  type MachineServiceCreateRequest,
  type MachineServiceForkRequest,
  type MachineServiceListRequest,
  WarmPoolMode,
} from "@nullspace/proto";
import type { Caller } from "../domain/caller.js";
import { invalid, pageSize } from "../domain/limits.js";
import type { ForkRequest } from "../domain/forking.js";
import type { Machine, MachineState } from "../domain/machine.js";
import type { MachineRequest } from "../domain/machine-request.js";
import type { MachineQuery } from "../domain/machine-store.js";
import type { ProjectMachines } from "../domain/project-machines.js";
import type { Connected } from "../domain/resuming.js";
import { parseTemplate } from "../domain/templates.js";
import { callerOf } from "./caller-context.js";
import { applyFieldMask } from "./field-mask.js";
import { toForkResult } from "./fork-message.js";
import {
  fromActionNumber,
  fromStateNumber,
  toMachineMessage,
  toReceiptMessage,
} from "./machine-message.js";
import { toSnapshotMessage } from "./snapshot-message.js";

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
 * @param onDefect Told of errors of a fork's children that nobody foresaw.
 * @param trafficTokenOf A new machine's traffic access token; empty when it needs none.
 */
export function machineService(
  machinesOf: (caller: Caller) => ProjectMachines,
  stopping: AbortSignal,
  onDefect: (error: unknown) => void,
  trafficTokenOf: (machine: Machine) => string,
): ServiceImpl<typeof MachineService> {
  const of = ({ values }: HandlerContext) => machinesOf(callerOf(values));
  return {
    async create(request, context) {
      const { signal } = context;
      const machines = of(context);
      const machine = await machines.create(toMachineRequest(request), signal);
      return {
        machine: toMessage(machines, machine),
        ...(machine.receipt && { receipt: toReceiptMessage(machine.receipt) }),
        trafficAccessToken: trafficTokenOf(machine),
      };
    },

    async get({ id, fields }, context) {
      const machines = of(context);
      const machine = toMessage(machines, await machines.get(id));
      return { machine: applyFieldMask(MachineSchema, machine, fields) };
    },

    async list(request, context) {
      const machines = of(context);
      const { items, nextCursor } = await machines.list(toQuery(request));
      return {
        machines: items.map((machine) =>
          applyFieldMask(MachineSchema, toMessage(machines, machine), request.fields),
        ),
        nextCursor,
      };
    },

    async *watch(_request, context) {
      const { signal } = context;
      const machines = of(context);
      for await (const step of machines.watch(AbortSignal.any([signal, stopping]))) {
        yield "machine" in step
          ? { machine: toMessage(machines, step.machine) }
          : { synced: step.synced };
      }
    },

    async kill({ id }, context) {
      const { signal } = context;
      const machines = of(context);
      return { machine: toMessage(machines, await machines.kill(id, signal)) };
    },

    async connect({ id, timeoutSeconds }, context) {
      const { signal } = context;
      const machines = of(context);
      return toConnected(machines, await machines.connect(id, timeoutSeconds, signal));
    },

    async pause({ id }, context) {
      const { signal } = context;
      const machines = of(context);
      const { machine, snapshot } = await machines.pause(id, signal);
      return { machine: toMessage(machines, machine), snapshot: toSnapshotMessage(snapshot) };
    },

    async resume({ snapshotId, timeoutSeconds }, context) {
      const { signal } = context;
      const machines = of(context);
      return toConnected(machines, await machines.resume(snapshotId, timeoutSeconds, signal));
    },

    async fork(request, context) {
      const { signal } = context;
      const machines = of(context);
      const outcomes = await machines.fork(toForkRequest(request), signal);
      return { results: outcomes.map((outcome) => toForkResult(outcome, onDefect)) };
    },

    async setTimeout({ id, seconds, onTimeout, idleSeconds, deletePausedAfterSeconds }, context) {
      const machines = of(context);
      const timeouts = {
        onTimeout: fromActionNumber(onTimeout),
        idleSeconds,
        deletePausedAfterSeconds,
      };
      return { machine: toMessage(machines, await machines.setTimeout(id, seconds, timeouts)) };
    },

    async updateEgress({ id, egress }, context) {
      const machines = of(context);
      if (egress === undefined) {
        throw invalid("egress", "is missing", "Give a policy; its mode may be ALLOW_ALL.");
      }
      return { machine: toMessage(machines, await machines.updateEgress(id, egress)) };
    },
  };
}

function toMessage(machines: ProjectMachines, machine: Machine): MachineMessage {
  return toMachineMessage(machine, machines.lastUsedAt(machine.id));
}

function toConnected(machines: ProjectMachines, { machine, resumed }: Connected) {
  return {
    machine: toMessage(machines, machine),
    ...(resumed && machine.receipt && { receipt: toReceiptMessage(machine.receipt) }),
  };
}

function toForkRequest(request: MachineServiceForkRequest): Omit<ForkRequest, "projectId"> {
  const { id, count, idempotencyKey, metadata, envs, timeoutSeconds } = request;
  return {
    id,
    count,
    idempotencyKey,
    metadata,
    envs,
    timeoutSeconds,
    onTimeout: fromActionNumber(request.onTimeout),
  };
}

function toMachineRequest(request: MachineServiceCreateRequest): Omit<MachineRequest, "projectId"> {
  const { template, vcpus, memoryMb, diskMb, timeoutSeconds, onTimeout } = request;
  const { metadata, envs, cwd, idempotencyKey, snapshotId } = request;
  const { autoResume, idleSeconds, deletePausedAfterSeconds, warmPool, network } = request;
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
    snapshotId,
    autoResume,
    previews: {
      allowPublicTraffic: network?.previews?.allowPublicTraffic ?? true,
      maskRequestHost: network?.previews?.maskRequestHost ?? "",
    },
    idleSeconds,
    deletePausedAfterSeconds,
    warmPool: warmPool === WarmPoolMode.UNSPECIFIED ? WarmPoolMode.PREFER : warmPool,
    egress: network?.egress,
  };
}

function toQuery(request: MachineServiceListRequest): Omit<MachineQuery, "projectId"> {
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
