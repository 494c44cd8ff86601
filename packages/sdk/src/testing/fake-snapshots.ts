import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  ErrorReason,
  type Machine,
  MachineState,
  type Snapshot,
  SnapshotKind,
  SnapshotSchema,
  type SnapshotService,
  type SnapshotServiceCreateRequest,
  type SnapshotServiceListRequest,
} from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { FakeEvents } from "./fake-events.js";
import type { FakeMachines } from "./fake-machines.js";

/** SnapshotService over a list in memory. */
export class FakeSnapshots implements ServiceImpl<typeof SnapshotService> {
  /** Newest first. */
  readonly all: Snapshot[] = [];
  readonly #machines: FakeMachines;
  readonly #events: FakeEvents;
  readonly #byKey = new Map<string, Snapshot>();

  constructor(machines: FakeMachines, events: FakeEvents) {
    this.#machines = machines;
    this.#events = events;
  }

  create = (request: SnapshotServiceCreateRequest) => {
    this.#machines.mustRun(request.machineId);
    const known = this.#byKey.get(request.idempotencyKey);
    const machine = this.#machines.find(request.machineId);
    const snapshot = known ?? this.add(machine, SnapshotKind.REUSABLE);
    snapshot.name = request.name;
    snapshot.metadata = request.metadata;
    this.#byKey.set(request.idempotencyKey, snapshot);
    return { snapshot };
  };

  get = ({ id }: { id: string }) => ({ snapshot: this.find(id) });

  list = (request: SnapshotServiceListRequest) => {
    const limit = request.limit || 50;
    const start = Number(request.cursor || 0);
    const matching = this.all.filter(
      ({ machineId, kind, metadata }) =>
        (request.machineId === "" || request.machineId === machineId) &&
        (request.kind === SnapshotKind.UNSPECIFIED || request.kind === kind) &&
        Object.entries(request.metadata).every(([key, value]) => metadata[key] === value),
    );
    const end = start + limit;
    const nextCursor = end < matching.length ? String(end) : "";
    return { snapshots: matching.slice(start, end), nextCursor };
  };

  delete = ({ id }: { id: string }) => {
    const index = this.all.findIndex((snapshot) => snapshot.id === id);
    const [gone] = index < 0 ? [] : this.all.splice(index, 1);
    if (gone === undefined) return {};
    if (gone.kind === SnapshotKind.PAUSE) {
      this.#machines.change(this.#machines.find(gone.machineId), { state: MachineState.KILLED });
    }
    this.#events.addSnapshot(gone, "deleted");
    return {};
  };

  /** Adds a snapshot of a machine. */
  add(machine: Machine, kind: SnapshotKind): Snapshot {
    const snapshot = create(SnapshotSchema, {
      id: `s${(this.#byKey.size + this.all.length + 1).toString().padStart(4, "0")}`,
      kind,
      machineId: machine.id,
      parentId: machine.snapshotId,
      metadata: machine.metadata,
      template: machine.template,
      vcpus: machine.vcpus,
      memoryMb: machine.memoryMb,
      diskMb: machine.diskMb,
      sizeBytes: 17_000_000n,
      stoppedMs: 12.5,
      createdAt: timestampNow(),
    });
    this.all.unshift(snapshot);
    this.#events.addSnapshot(snapshot, "created");
    return snapshot;
  }

  /** The snapshot with this id. */
  find(id: string): Snapshot {
    const snapshot = this.all.find((candidate) => candidate.id === id);
    if (snapshot !== undefined) return snapshot;
    throw new Fault(ErrorReason.SNAPSHOT_NOT_FOUND, `no snapshot has the id ${id}`, {
      remedy: "List the snapshots there are.",
    });
  }
}
