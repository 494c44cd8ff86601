import { EventEmitter, once } from "node:events";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type Event,
  EventSchema,
  type EventService,
  type EventServiceListRequest,
  type EventServiceWatchRequest,
  EventType,
  type Machine,
  type MachineState,
  type Snapshot,
} from "@nullspace/proto";

/** EventService over a list in memory. */
export class FakeEvents implements ServiceImpl<typeof EventService> {
  /** Oldest first; the id of each is its place, counted from 1. */
  readonly all: Event[] = [];
  readonly #added = new EventEmitter().setMaxListeners(0);

  list = (request: EventServiceListRequest) => {
    const limit = request.limit || 50;
    const before = request.cursor === "" ? this.all.length : Number(request.cursor);
    const matching = this.all
      .slice(0, before)
      .toReversed()
      .filter(({ machineId }) => request.machineId === "" || request.machineId === machineId);
    const events = matching.slice(0, limit);
    const last = matching.length > limit ? events.at(-1) : undefined;
    return { events, nextCursor: last === undefined ? "" : String(Number(last.id) - 1) };
  };

  watch = async function* (
    this: FakeEvents,
    request: EventServiceWatchRequest,
    { signal }: HandlerContext,
  ) {
    let next = request.afterId === 0n ? this.all.length : Number(request.afterId);
    while (!signal.aborted) {
      for (let event = this.all[next]; event !== undefined; event = this.all[next]) {
        next++;
        if (request.machineId === "" || request.machineId === event.machineId) yield { event };
      }
      await once(this.#added, "added", { signal }).catch(() => undefined);
    }
  }.bind(this);

  /** Adds a change of a machine's state. */
  addState(machine: Machine, fromState: MachineState, cause: string): void {
    const { id: machineId, parentId: sourceMachineId, state: toState, failure } = machine;
    const timingsMs = { startMs: 12.5 };
    const type = EventType.MACHINE_STATE;
    this.#add({ type, machineId, sourceMachineId, fromState, toState, cause, failure, timingsMs });
  }

  /** Adds the making or the end of a snapshot. */
  addSnapshot({ id: snapshotId, machineId }: Snapshot, what: "created" | "deleted"): void {
    const type = what === "created" ? EventType.SNAPSHOT_CREATED : EventType.SNAPSHOT_DELETED;
    this.#add({ type, machineId, snapshotId, cause: "request" });
  }

  #add(init: MessageInitShape<typeof EventSchema>): void {
    const id = BigInt(this.all.length + 1);
    this.all.push(create(EventSchema, { ...init, id, createdAt: timestampNow() }));
    this.#added.emit("added");
  }
}
