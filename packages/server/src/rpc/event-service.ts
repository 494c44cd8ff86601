import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type Event as EventMessage,
  EventSchema,
  type EventService,
  EventType as Type,
  MachineState,
} from "@nullspace/proto";
import type { Event, EventType } from "../domain/event.js";
import type { Events } from "../domain/events.js";
import { pageSize } from "../domain/limits.js";
import { callerOf } from "./caller-context.js";
import { toStateNumber } from "./machine-message.js";

const TYPES: Readonly<Record<EventType, Type>> = {
  "machine state": Type.MACHINE_STATE,
  "machine timeout set": Type.MACHINE_TIMEOUT_SET,
  "machine egress set": Type.MACHINE_EGRESS_SET,
  "machine forked": Type.MACHINE_FORKED,
  "snapshot created": Type.SNAPSHOT_CREATED,
  "snapshot deleted": Type.SNAPSHOT_DELETED,
  "ssh access created": Type.SSH_ACCESS_CREATED,
  "ssh access revoked": Type.SSH_ACCESS_REVOKED,
  "ssh connected": Type.SSH_CONNECTED,
  "ssh disconnected": Type.SSH_DISCONNECTED,
};

/**
 * EventService over the domain.
 *
 * @param stopping Aborted when the server begins to stop: ends watches, which would never end by themselves.
 */
export function eventService(
  events: Events,
  stopping: AbortSignal,
): ServiceImpl<typeof EventService> {
  return {
    async list({ machineId, limit, cursor }, { values }) {
      const { projectId } = callerOf(values);
      const query = { projectId, machineId };
      const { items, nextCursor } = await events.list(query, pageSize(limit), cursor);
      return { events: items.map(toEventMessage), nextCursor };
    },

    async *watch({ machineId, afterId }, { signal, values }) {
      const { projectId } = callerOf(values);
      const ended = AbortSignal.any([signal, stopping]);
      for await (const event of events.watch(Number(afterId), { projectId, machineId }, ended)) {
        yield { event: toEventMessage(event) };
      }
    },
  };
}

function toEventMessage(event: Event): EventMessage {
  const { machineId, snapshotId, sourceMachineId, fromState, toState, cause, failure } = event;
  return create(EventSchema, {
    machineId,
    snapshotId,
    sourceMachineId,
    cause,
    failure,
    id: BigInt(event.id),
    type: TYPES[event.type],
    createdAt: timestampFromDate(event.createdAt),
    fromState: fromState === undefined ? MachineState.UNSPECIFIED : toStateNumber(fromState),
    toState: toState === undefined ? MachineState.UNSPECIFIED : toStateNumber(toState),
    timingsMs: { ...event.timings },
    sshAccessId: event.sshAccessId,
  });
}
