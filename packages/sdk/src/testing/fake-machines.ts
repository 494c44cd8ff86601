import { EventEmitter, on } from "node:events";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, timestampNow } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  ErrorReason,
  type Machine,
  MachineSchema,
  type MachineService,
  type MachineServiceCreateRequest,
  type MachineServiceGetRequest,
  type MachineServiceListRequest,
  type MachineServiceSetTimeoutRequest,
  type MachineServiceWatchRequest,
  MachineState,
  TimeoutAction,
} from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** MachineService over a list in memory. */
export class FakeMachines implements ServiceImpl<typeof MachineService> {
  /** Newest first. */
  readonly all: Machine[] = [];
  /** Requests to create, as they came. */
  readonly created: MachineServiceCreateRequest[] = [];
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
    const machine = known ?? this.add({ template: "base:1" });
    if (known === undefined) {
      machine.metadata = request.metadata;
      machine.vcpus = request.vcpus || 1;
      machine.memoryMb = request.memoryMb || 512;
      machine.cwd = request.cwd || "/workspace";
      const seconds = request.timeoutSeconds ?? 300;
      if (seconds > 0) machine.timeoutAt = inSeconds(seconds);
      this.#byKey.set(request.idempotencyKey, machine);
    }
    const receipt = {
      generation: 2n,
      clockSkewMs: -3n,
      entropyReseeded: true,
      identityRenewed: true,
    };
    return { machine, receipt };
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
    if (request.seconds > 0) this.change(machine, { timeoutAt: inSeconds(request.seconds) });
    else delete machine.timeoutAt;
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
    this.#changes.emit("change", machine.id);
    return machine;
  }

  /** Changes a machine and tells everyone who watches. */
  change(machine: Machine, change: Partial<Machine>): void {
    Object.assign(machine, change);
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
    throw new Fault(ErrorReason.MACHINE_NOT_RUNNING, `machine ${id} does not run`);
  }
}

function inSeconds(seconds: number) {
  return timestampFromDate(new Date(Date.now() + seconds * 1000));
}
