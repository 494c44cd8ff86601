import { createClient, createRouterTransport } from "@connectrpc/connect";
import { WarmPoolMode } from "@nullspace/proto";
import { faultInterceptor } from "@nullspace/proto/fault";
import { HostService } from "@nullspace/proto/host";
import { ControlPlane, type ControlPlaneOptions } from "../domain/control-plane.js";
import type { HostClient } from "../domain/host.js";
import { SigningKeys } from "../domain/signing-keys.js";
import type { Log } from "../domain/log.js";
import type { Machine } from "../domain/machine.js";
import type { MachineRequest } from "../domain/machine-request.js";
import type { Machines } from "../domain/machines.js";
import { DEFAULT_PROJECT } from "../domain/project.js";
import { SqlAuditStore } from "../store/audit.js";
import { PreviewTokens } from "../domain/preview-tokens.js";
import type { Database } from "../store/database.js";
import { SqlEventStore } from "../store/events.js";
import { SqlKeyStore } from "../store/keys.js";
import { SqlMachineStore } from "../store/machines.js";
import { SqlProjectStore } from "../store/projects.js";
import { SqlPreviewStore } from "../store/previews.js";
import { SqlSnapshotStore } from "../store/snapshots.js";
import { SqlSshAccessStore } from "../store/ssh-accesses.js";
import type { FakeHost } from "./fake-host.js";
import { HOST_ID } from "./machines.js";
import { Life, mortal } from "./mortal.js";

/** Signing keys that are nowhere kept. */
const testSigningKeys = await SigningKeys.open({
  load: async () => [],
  save: async () => undefined,
});

/** A log that tests do not read. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Options of a control plane in a test that differ from the usual. */
export interface TestControlPlaneOptions extends Partial<ControlPlaneOptions> {
  readonly fakeHost: FakeHost;
  readonly database: Database;
  /** When the control plane dies; never, unless given. */
  readonly life?: Life;
}

/** A control plane over a fake host, not started yet. */
export function testControlPlane(options: TestControlPlaneOptions): ControlPlane {
  const { fakeHost, database, life = new Life(Infinity), ...others } = options;
  return new ControlPlane({
    hostId: HOST_ID,
    host: mortal(fakeHostClient(fakeHost), life),
    machineStore: mortal(new SqlMachineStore(database), life),
    snapshotStore: mortal(new SqlSnapshotStore(database), life),
    eventStore: mortal(new SqlEventStore(database), life),
    keyStore: new SqlKeyStore(database),
    projectStore: new SqlProjectStore(database),
    auditStore: new SqlAuditStore(database),
    projectLimits: {},
    keepAuditMs: 1000,
    previewStore: new SqlPreviewStore(database),
    previewTokens: new PreviewTokens(testSigningKeys, Buffer.alloc(32, "preview tests")),
    sshAccessStore: new SqlSshAccessStore(database),
    capacity: { maxMachines: 100, maxMemoryMb: 65_536 },
    keepEndedMs: 1000,
    eagerTemplate: "base",
    log: silentLog,
    ...others,
  });
}

/** A client of a fake host, over Connect as in the server. */
export function fakeHostClient(fakeHost: FakeHost): HostClient {
  const transport = createRouterTransport(
    (router) => router.service(HostService, fakeHost.service),
    { router: { interceptors: [faultInterceptor(reportDefect)] } },
  );
  return createClient(HostService, transport);
}

function reportDefect(error: unknown): void {
  throw new Error("the fake host is broken", { cause: error });
}

/** A request for a machine, with what a test cares about. */
export function machineRequest(fields: Partial<MachineRequest> = {}): MachineRequest {
  return {
    projectId: DEFAULT_PROJECT,
    template: "",
    vcpus: 0,
    memoryMb: 0,
    diskMb: 0,
    timeoutSeconds: undefined,
    onTimeout: undefined,
    metadata: {},
    envs: {},
    cwd: "",
    idempotencyKey: "",
    snapshotId: "",
    autoResume: false,
    previews: { allowPublicTraffic: true, maskRequestHost: "" },
    idleSeconds: 0,
    deletePausedAfterSeconds: 0,
    warmPool: WarmPoolMode.UNSPECIFIED,
    egress: undefined,
    ...fields,
  };
}

/** Waits until a machine is as wanted, without asking again and again. */
export async function untilMachine(
  machines: Machines,
  id: string,
  wanted: (machine: Machine) => boolean,
): Promise<Machine> {
  const stop = AbortSignal.timeout(5000);
  // The watch has begun before the record is read, so no change falls in between.
  const steps = machines.watch(DEFAULT_PROJECT, stop);
  const first = steps.next();
  const found = await machines.get(id);
  if (wanted(found)) {
    await steps.return();
    return found;
  }
  for (let step = await first; step.done !== true; step = await steps.next()) {
    if ("machine" in step.value && step.value.machine.id === id && wanted(step.value.machine)) {
      await steps.return();
      return step.value.machine;
    }
  }
  throw new Error("the watch ended");
}
