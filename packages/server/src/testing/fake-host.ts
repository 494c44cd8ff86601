import { mkdtempSync, rmSync } from "node:fs";
import type { ClientHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { ErrorReason, WarmPoolMode } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import {
  CaptureOutcome,
  type HostMachine,
  HostMachineSchema,
  HostMachineState,
  type HostService,
  type StartMachineRequest,
} from "@nullspace/proto/host";
import { StubAgent } from "./stub-agent.js";

interface FakeMachine {
  state: HostMachineState;
  consoleTail: string;
  agent: StubAgent | undefined;
  /** Stands for its memory: a snapshot has it, and who starts from that goes on from there. */
  count: number;
  request: StartMachineRequest | undefined;
}

/** Tests may hold up or break any call of the host here. */
export interface FakeHostHooks {
  /** Runs inside the call: wait, or throw. */
  startMachine?: (machineId: string, signal: AbortSignal) => Promise<void>;
  stopMachine?: (machineId: string) => Promise<void>;
  prepareTemplate?: () => Promise<void>;
  /** Runs before anything is saved. */
  captureMachine?: (machineId: string, snapshotId: string, signal: AbortSignal) => Promise<void>;
  /** Runs when the snapshot is safe, before the machine goes on or ends. */
  captured?: (machineId: string, snapshotId: string) => Promise<void>;
  deleteSnapshot?: (snapshotId: string) => Promise<void>;
  /** Runs before the policy is applied. */
  updateEgress?: (machineId: string) => Promise<void>;
}

interface FakeSnapshot {
  machineId: string;
  diskMb: number;
  /** What the machine had counted to. */
  count: number;
}

/** A host whose machines are small HTTP/2 servers in this process. Outlives the control planes that use it. */
export class FakeHost implements AsyncDisposable {
  readonly hooks: FakeHostHooks = {};
  readonly machines = new Map<string, FakeMachine>();
  readonly snapshots = new Map<string, FakeSnapshot>();
  /** Names of the calls, in order. */
  readonly calls: string[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), "fake-host-"));
  readonly #sessions = new Map<string, ClientHttp2Session>();
  readonly #watchers = new Set<(machine: HostMachine) => void>();

  /** Ends a machine as a crash of its QEMU would. */
  die(machineId: string, consoleTail = ""): void {
    const machine = this.machines.get(machineId);
    if (machine === undefined) throw new Error(`no machine ${machineId}`);
    machine.state = HostMachineState.DEAD;
    machine.consoleTail = consoleTail;
    machine.agent?.cut();
    const told = this.#describe(machineId, machine);
    for (const tell of this.#watchers) tell(told);
  }

  /** The agent of a running machine. */
  agent(machineId: string): StubAgent {
    const agent = this.machines.get(machineId)?.agent;
    if (agent === undefined) throw new Error(`no running machine ${machineId}`);
    return agent;
  }

  async connectAgent(machineId: string): Promise<ClientHttp2Session> {
    const former = this.#sessions.get(machineId);
    if (former !== undefined && !former.closed && !former.destroyed) return former;
    const machine = this.machines.get(machineId);
    if (machine?.state !== HostMachineState.RUNNING || machine.agent === undefined) {
      throw new Fault(ErrorReason.AGENT_UNREACHABLE, `machine ${machineId} has no agent`);
    }
    const session = await StubAgent.dial(machine.agent.path);
    this.#sessions.set(machineId, session);
    return session;
  }

  readonly service: ServiceImpl<typeof HostService> = {
    getHost: () => ({
      qemuVersion: "7.2",
      accelerator: "tcg",
      acceleratorReason: "a fake",
      templates: [
        {
          name: "base",
          tag: "latest",
          imageDigest: "d1",
          defaultVcpus: 2,
          defaultMemoryMb: 512,
          diskMb: 2048,
        },
        {
          name: "desktop",
          tag: "1.0",
          imageDigest: "d2",
          defaultVcpus: 2,
          defaultMemoryMb: 1024,
          diskMb: 4096,
        },
      ],
    }),
    updateEgress: async ({ machineId, egress }) => {
      this.calls.push("updateEgress");
      const machine = this.machines.get(machineId);
      if (machine?.request === undefined) throw new Error(`no machine ${machineId}`);
      await this.hooks.updateEgress?.(machineId);
      if (egress === undefined) delete machine.request.egress;
      else machine.request.egress = egress;
      return {};
    },
    prepareTemplate: (request) => this.#prepare(request.imageDigest),
    startMachine: async (request, { signal }) => {
      const { machineId } = request;
      this.calls.push("startMachine");
      const image = this.#imageOf(request.snapshotId);
      const machine: FakeMachine = {
        state: HostMachineState.STARTING,
        consoleTail: "",
        agent: undefined,
        count: image.count,
        request,
      };
      this.machines.set(machineId, machine);
      await this.hooks.startMachine?.(machineId, signal);
      signal.throwIfAborted();
      machine.agent = await StubAgent.listen(join(this.#directory, machineId));
      machine.state = HostMachineState.RUNNING;
      return {
        fromWarmPool: request.warmPool === WarmPoolMode.REQUIRE,
        receipt: {
          generation: 1n,
          clockSkewMs: -3n,
          entropyReseeded: true,
          identityRenewed: true,
        },
      };
    },
    stopMachine: async ({ machineId }) => {
      this.calls.push("stopMachine");
      await this.hooks.stopMachine?.(machineId);
      await this.#remove(machineId);
      return {};
    },
    captureMachine: async ({ machineId, snapshotId, outcome }, { signal }) => {
      this.calls.push("captureMachine");
      if (!this.snapshots.has(snapshotId)) {
        const machine = this.machines.get(machineId);
        await this.hooks.captureMachine?.(machineId, snapshotId, signal);
        signal.throwIfAborted();
        if (machine?.state !== HostMachineState.RUNNING) {
          throw new Fault(ErrorReason.MACHINE_NOT_RUNNING, `machine ${machineId} does not run`);
        }
        this.snapshots.set(snapshotId, { machineId, diskMb: 2048, count: machine.count });
        await this.hooks.captured?.(machineId, snapshotId);
      }
      if (outcome === CaptureOutcome.STOP) await this.#remove(machineId);
      return { stoppedMs: 12.5, sizeBytes: 4096n, memoryBytes: 4096n, diskMb: 2048 };
    },
    deleteSnapshot: async ({ snapshotId }) => {
      this.calls.push("deleteSnapshot");
      await this.hooks.deleteSnapshot?.(snapshotId);
      this.snapshots.delete(snapshotId);
      return {};
    },
    listSnapshots: () => ({
      snapshots: [
        { snapshotId: "t-base", diskMb: 2048, sizeBytes: 1n },
        ...[...this.snapshots].map(([snapshotId, { machineId, diskMb }]) => ({
          snapshotId,
          machineId,
          diskMb,
          createdAt: timestampNow(),
          sizeBytes: 4096n,
        })),
      ],
    }),
    listMachines: () => ({
      machines: [...this.machines].map(([id, machine]) => this.#describe(id, machine)),
    }),
    watchExits: (_request, { signal }) => this.#watch(signal),
  };

  /** Drops the connections to all agents, as a server does that goes. */
  async hangUp(): Promise<void> {
    for (const session of this.#sessions.values()) session.destroy();
    this.#sessions.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hangUp();
    for (const { agent } of this.machines.values()) await agent?.[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true });
  }

  #imageOf(snapshotId: string): { count: number } {
    if (snapshotId.startsWith("snapshot-of-")) return { count: 0 };
    const snapshot = this.snapshots.get(snapshotId);
    if (snapshot !== undefined) return snapshot;
    throw new Fault(ErrorReason.SNAPSHOT_NOT_FOUND, `the host has no snapshot ${snapshotId}`);
  }

  async #remove(machineId: string): Promise<void> {
    await this.machines.get(machineId)?.agent?.[Symbol.asyncDispose]();
    this.machines.delete(machineId);
  }

  async *#prepare(imageDigest: string) {
    this.calls.push("prepareTemplate");
    yield { event: { case: "progress" as const, value: "booting" } };
    await this.hooks.prepareTemplate?.();
    yield { event: { case: "snapshotId" as const, value: `snapshot-of-${imageDigest}` } };
  }

  async *#watch(signal: AbortSignal) {
    const queue: HostMachine[] = [];
    let arrival = Promise.withResolvers<void>();
    const tell = (machine: HostMachine) => {
      queue.push(machine);
      arrival.resolve();
    };
    this.#watchers.add(tell);
    signal.addEventListener("abort", () => arrival.resolve());
    try {
      while (!signal.aborted) {
        for (let machine = queue.shift(); machine !== undefined; machine = queue.shift()) {
          yield { machine };
        }
        arrival = Promise.withResolvers<void>();
        await arrival.promise;
      }
    } finally {
      this.#watchers.delete(tell);
    }
  }

  #describe(machineId: string, { state, consoleTail, request }: FakeMachine): HostMachine {
    const egress = request?.egress;
    return create(HostMachineSchema, {
      machineId,
      state,
      consoleTail,
      startedAt: timestampNow(),
      ...(egress && { egress }),
    });
  }
}
