import { EventEmitter, on } from "node:events";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, timestampNow } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  EgressMode,
  EgressPolicySchema,
  ErrorReason,
  type Machine,
  MachineSchema,
  type MachineService,
  type MachineServiceCreateRequest,
  type MachineServiceForkRequest,
  type MachineServiceForkResponseSchema as ForkResponseSchema,
  RestoreKind,
  type MachineServiceGetRequest,
  type MachineServiceListRequest,
  type MachineServiceSetTimeoutRequest,
  type MachineServiceUpdateEgressRequest,
  type MachineServiceWatchRequest,
  MachineState,
  SnapshotKind,
  TimeoutAction,
  WarmPoolMode,
} from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { FakeEvents } from "./fake-events.js";
import { FakeSnapshots } from "./fake-snapshots.js";

const RECEIPT = {
  kind: RestoreKind.PAUSE,
  generation: 2n,
  clockSkewMs: -3n,
  entropyReseeded: true,
  identityRenewed: true,
};

/** MachineService over a list in memory. */
export class FakeMachines implements ServiceImpl<typeof MachineService> {
  /** Newest first. */
  readonly all: Machine[] = [];
  /** Requests to create, as they came. */
  readonly created: MachineServiceCreateRequest[] = [];
  readonly events = new FakeEvents();
  readonly snapshots = new FakeSnapshots(this, this.events);
  /** Why the next child of a fork fails. */
  childFailure: Fault | undefined;
  readonly #byKey = new Map<string, Machine>();
  readonly #changes = new EventEmitter();

  constructor() {
    this.#changes.setMaxListeners(0);
  }

  create = (request: MachineServiceCreateRequest) => {
    this.created.push(request);
    const template = request.template || "base";
    if (template !== "base" && template !== "base:1") {
      throw new Fault(ErrorReason.TEMPLATE_NOT_FOUND, `no template is named "${template}"`, {
        remedy: "Did you mean base?",
        details: { template, nearest: "base" },
      });
    }
    const known = this.#byKey.get(request.idempotencyKey);
    const { snapshotId } = request;
    const parent = snapshotId === "" ? "" : this.snapshots.find(snapshotId).machineId;
    const machine = known ?? this.add({ template: "base:1", snapshotId, parentId: parent });
    if (known === undefined) {
      machine.metadata = request.metadata;
      machine.vcpus = request.vcpus || 1;
      machine.memoryMb = request.memoryMb || 512;
      machine.cwd = request.cwd || "/workspace";
      const seconds = request.timeoutSeconds ?? 300;
      if (seconds > 0) machine.timeoutAt = inSeconds(seconds);
      machine.onTimeout = request.onTimeout || TimeoutAction.KILL;
      machine.autoResume = request.autoResume;
      machine.idleSeconds = request.idleSeconds;
      machine.deletePausedAfterSeconds = request.deletePausedAfterSeconds;
      machine.fromWarmPool = request.warmPool === WarmPoolMode.REQUIRE;
      machine.egress =
        request.network?.egress ?? create(EgressPolicySchema, { mode: EgressMode.ALLOW_ALL });
      this.#byKey.set(request.idempotencyKey, machine);
    }
    return { machine, receipt: RECEIPT };
  };

  pause = ({ id }: { id: string }) => {
    const machine = this.find(id);
    if (machine.state !== MachineState.PAUSED) {
      this.mustRun(id);
      const { id: pausedSnapshotId } = this.snapshots.add(machine, SnapshotKind.PAUSE);
      this.change(machine, { state: MachineState.PAUSED, pausedSnapshotId });
    }
    return { machine, snapshot: this.snapshots.find(machine.pausedSnapshotId) };
  };

  connect = ({ id }: { id: string }) => {
    const machine = this.find(id);
    if (machine.state === MachineState.PAUSED) {
      return this.resume({ snapshotId: machine.pausedSnapshotId });
    }
    this.mustRun(id);
    return { machine };
  };

  resume = ({ snapshotId }: { snapshotId: string }) => {
    const alias = this.find(this.snapshots.find(snapshotId).machineId);
    if (alias.resumedAs !== "") return { machine: this.find(alias.resumedAs) };
    const { id: parentId, template, metadata } = alias;
    const machine = this.add({ template, metadata, snapshotId, parentId });
    this.change(alias, { resumedAs: machine.id });
    return { machine, receipt: RECEIPT };
  };

  fork = (request: MachineServiceForkRequest): MessageInitShape<typeof ForkResponseSchema> => {
    this.mustRun(request.id);
    const { id: parentId, template, metadata } = this.find(request.id);
    const results = Array.from({ length: request.count || 1 }, () => {
      const { childFailure } = this;
      this.childFailure = undefined;
      if (childFailure === undefined) {
        const machine = this.add({ template, metadata, parentId });
        return { result: { case: "child" as const, value: { machine, receipt: RECEIPT } } };
      }
      const { message, reason, remedy, details } = childFailure;
      const value = { message, info: { reason, retryable: true, remedy, details } };
      return { result: { case: "failure" as const, value } };
    });
    return { results };
  };

  get = (request: MachineServiceGetRequest) => {
    return { machine: this.find(request.id) };
  };

  list = (request: MachineServiceListRequest) => {
    const limit = request.limit || 50;
    const start = Number(request.cursor || 0);
    const matching = this.all.filter(
      (machine) =>
        (request.states.length === 0
          ? machine.state !== MachineState.KILLED
          : request.states.includes(machine.state)) &&
        Object.entries(request.metadata).every(([key, value]) => machine.metadata[key] === value),
    );
    const end = start + limit;
    const nextCursor = end < matching.length ? String(end) : "";
    return { machines: matching.slice(start, end), nextCursor };
  };

  watch = async function* (
    this: FakeMachines,
    _request: MachineServiceWatchRequest,
    context: HandlerContext,
  ) {
    const changes = on(this.#changes, "change", { signal: context.signal });
    for (const machine of this.all) {
      if (machine.state !== MachineState.KILLED) yield { machine };
    }
    yield { synced: true };
    try {
      for await (const [id] of changes) yield { machine: this.find(String(id)) };
    } catch (error) {
      if (!context.signal.aborted) throw error;
    }
  }.bind(this);

  kill = (request: { id: string }) => {
    const machine = this.find(request.id);
    if (machine.state !== MachineState.KILLED) {
      this.change(machine, { state: MachineState.KILLED, endedAt: timestampNow() });
    }
    return { machine };
  };

  setTimeout = (request: MachineServiceSetTimeoutRequest) => {
    const machine = this.find(request.id);
    if (request.onTimeout !== TimeoutAction.UNSPECIFIED) machine.onTimeout = request.onTimeout;
    machine.idleSeconds = request.idleSeconds ?? machine.idleSeconds;
    machine.deletePausedAfterSeconds =
      request.deletePausedAfterSeconds ?? machine.deletePausedAfterSeconds;
    if (request.seconds > 0) this.change(machine, { timeoutAt: inSeconds(request.seconds) });
    else delete machine.timeoutAt;
    return { machine };
  };

  updateEgress = ({ id, egress }: MachineServiceUpdateEgressRequest) => {
    const machine = this.find(id);
    this.change(machine, egress === undefined ? {} : { egress });
    return { machine };
  };

  /** Adds a machine that nobody asked for. */
  add(init: MessageInitShape<typeof MachineSchema> = {}): Machine {
    const machine = create(MachineSchema, {
      id: `m${(this.all.length + 1).toString().padStart(4, "0")}`,
      state: MachineState.RUNNING,
      template: "base:1",
      vcpus: 1,
      memoryMb: 512,
      diskMb: 4096,
      cwd: "/workspace",
      createdAt: timestampNow(),
      startedAt: timestampNow(),
      onTimeout: TimeoutAction.KILL,
      ...init,
    });
    this.all.unshift(machine);
    this.events.addState(machine, MachineState.CREATING, "request");
    this.#changes.emit("change", machine.id);
    return machine;
  }

  /** Changes a machine and tells everyone who watches. */
  change(machine: Machine, change: Partial<Machine>): void {
    const { state } = machine;
    Object.assign(machine, change);
    if (machine.state !== state) this.events.addState(machine, state, "request");
    this.#changes.emit("change", machine.id);
  }

  /** The machine with this id. */
  find(id: string): Machine {
    const machine = this.all.find((candidate) => candidate.id === id);
    if (machine !== undefined) return machine;
    throw new Fault(ErrorReason.MACHINE_NOT_FOUND, `no machine has the id ${id}`, {
      remedy: "List the machines there are.",
    });
  }

  /** Throws unless this machine runs. */
  mustRun(id: string): void {
    const { state } = this.find(id);
    if (state === MachineState.RUNNING) return;
    const named = MachineState[state].toLowerCase();
    throw new Fault(ErrorReason.MACHINE_NOT_RUNNING, `machine ${id} is ${named}`, {
      details: { state: named },
    });
  }
}

function inSeconds(seconds: number) {
  return timestampFromDate(new Date(Date.now() + seconds * 1000));
}
