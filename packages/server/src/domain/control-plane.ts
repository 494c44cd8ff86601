import { Activity } from "./activity.js";
import { Audit, type AuditStore } from "./audit.js";
import { Capacity, type CapacityLimits } from "./capacity.js";
import type { Caller } from "./caller.js";
import { Captures } from "./captures.js";
import { Creation } from "./creation.js";
import { Egress } from "./egress.js";
import { Ending } from "./ending.js";
import type { EventStore } from "./event.js";
import { Events } from "./events.js";
import { MachineFeed } from "./feed.js";
import { Forking } from "./forking.js";
import { Gate } from "./gate.js";
import type { HostClient } from "./host.js";
import { IdleTimeouts } from "./idle.js";
import { keepRunning, repeat } from "./keep-running.js";
import type { KeyStore } from "./key-store.js";
import { Keys } from "./keys.js";
import { Lifecycle } from "./lifecycle.js";
import type { Log } from "./log.js";
import type { Machine } from "./machine.js";
import { Machines } from "./machines.js";
import type { MachineStore } from "./machine-store.js";
import { Maker } from "./maker.js";
import type { PreviewStore } from "./preview-grant.js";
import { Previews } from "./previews.js";
import type { PreviewTokens } from "./preview-tokens.js";
import { Pausing } from "./pausing.js";
import type { ProjectLimits, ProjectStore } from "./project.js";
import { ProjectMachines } from "./project-machines.js";
import { ProjectPreviews } from "./project-previews.js";
import { ProjectSnapshots } from "./project-snapshots.js";
import { Projects } from "./projects.js";
import { Quotas } from "./quotas.js";
import { Reconciler } from "./reconciler.js";
import { RunningMachines } from "./running-machines.js";
import { Resuming } from "./resuming.js";
import { deleteExpiredRecords } from "./retention.js";
import type { SnapshotStore } from "./snapshot.js";
import { SnapshotReconciler } from "./snapshot-reconciler.js";
import { SnapshotRemoval } from "./snapshot-removal.js";
import { Snapshots } from "./snapshots.js";
import type { SshAccessStore } from "./ssh/access.js";
import { SshConnections } from "./ssh/connections.js";
import { Starts } from "./starts.js";
import { Templates } from "./templates.js";
import { Timeouts } from "./timeouts.js";
import { Watchdog } from "./watchdog.js";

const RECONCILE_INTERVAL_MS = 60_000;
const RETENTION_INTERVAL_MS = 600_000;
/** The longest audit trail: some 250 MB. */
const MOST_AUDIT_ENTRIES = 1_000_000;

/** What a {@link ControlPlane} is made of. */
export interface ControlPlaneOptions {
  /** Names the host in machines' records: it stays the same for as long as the host's home. */
  readonly hostId: string;
  readonly host: HostClient;
  readonly machineStore: MachineStore;
  readonly snapshotStore: SnapshotStore;
  readonly eventStore: EventStore;
  readonly keyStore: KeyStore;
  readonly projectStore: ProjectStore;
  readonly auditStore: AuditStore;
  /** How long the audit trail is kept, in milliseconds. */
  readonly keepAuditMs: number;
  /** Limits of projects that have none of their own. */
  readonly projectLimits: ProjectLimits;
  readonly previewStore: PreviewStore;
  readonly previewTokens: PreviewTokens;
  readonly sshAccessStore: SshAccessStore;
  readonly capacity: CapacityLimits;
  /** How long the record of an ended machine is kept, in milliseconds. */
  readonly keepEndedMs: number;
  /** Template that is captured in its default size before anyone asks for it. */
  readonly eagerTemplate: string;
  readonly log: Log;
}

/** Everything that looks after one host's machines. */
export class ControlPlane implements AsyncDisposable {
  readonly machines: Machines;
  readonly snapshots: Snapshots;
  readonly events: Events;
  readonly keys: Keys;
  readonly projects: Projects;
  /** Limits of projects, their own and the server's. */
  readonly quotas: Quotas;
  /** Who did what. */
  readonly audit: Audit;
  /** Lets calls in. */
  readonly gate: Gate;
  readonly previews: Previews;
  readonly running: RunningMachines;
  readonly sshConnections: SshConnections;
  /** Wants to know of every call and stream that reaches a machine. */
  readonly activity = new Activity();
  readonly #options: ControlPlaneOptions;
  readonly #templates: Templates;
  readonly #timeouts: Timeouts;
  readonly #reconciler: Reconciler;
  readonly #observers: readonly ((machine: Machine) => void)[];
  readonly #stopping = new AbortController();
  readonly #background: Promise<void>[] = [];
  /** Disposed in this order. */
  readonly #parts: readonly (AsyncDisposable | Disposable)[];

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    const { activity } = this;
    const { hostId, host, machineStore: store, snapshotStore, eventStore, log } = options;
    this.running = new RunningMachines(hostId);
    const feed = new MachineFeed();
    const starts = new Starts();
    const captures = new Captures();
    const capacity = new Capacity(options.capacity);
    const events = new Events(eventStore);
    const onEvent = () => events.notify();
    this.#observers = [
      (machine) => capacity.observe(machine),
      (machine) => activity.observe(machine),
      (machine) => this.running.observe(machine),
      (machine) => this.#timeouts.observe(machine),
      (machine) => idle.observe(machine),
      (machine) => watchdog.observe(machine),
      (machine) => this.sshConnections.observe(machine),
      (machine) => feed.publish(machine),
      onEvent,
    ];
    // What most of the parts below need; each takes what it names.
    const common = { hostId, host, store, snapshotStore, starts, captures, onEvent, log };
    const quotas = new Quotas(options.projectLimits);
    const lifecycle = new Lifecycle(store, quotas, log, this.#observers);
    const removal = new SnapshotRemoval({ host, store: snapshotStore, onEvent });
    const ending = new Ending({ ...common, lifecycle, removal });
    const maker = new Maker({ ...common, lifecycle, capacity, ending });
    const templates = new Templates(host, log);
    const creation = new Creation({ ...common, templates, maker });
    const pausing = new Pausing({ ...common, lifecycle, removal, ending });
    const resuming = new Resuming({ ...common, lifecycle, maker, pausing, ending });
    const forking = new Forking({ ...common, eventStore, removal, maker, ending });
    const egress = new Egress({ ...common, lifecycle });
    const expire = async ({ id, state, onTimeout }: Machine, cause: string) =>
      state === "running" && onTimeout === "pause"
        ? pausing.pause(id, cause)
        : ending.kill(id, { cause });
    const idle = new IdleTimeouts({ hostId, activity, expire, log });
    const watchdog = new Watchdog({ ...common, ending, pausing, resuming });
    const ofSnapshots = {
      ...common,
      store: snapshotStore,
      machineStore: store,
      removal,
      ending,
      quotas,
    };
    const snapshots = new SnapshotReconciler({ ...ofSnapshots, forking });
    this.#templates = templates;
    this.#timeouts = new Timeouts({ hostId, store, expire, log });
    this.#reconciler = new Reconciler({ ...common, ending, pausing, resuming, egress, snapshots });
    this.machines = new Machines({
      hostId,
      store,
      snapshotStore,
      lifecycle,
      creation,
      ending,
      feed,
      pausing,
      resuming,
      forking,
      egress,
      activity,
    });
    this.snapshots = new Snapshots(ofSnapshots);
    this.events = events;
    this.keys = new Keys(options.keyStore);
    this.projects = new Projects(options.projectStore);
    this.quotas = quotas;
    this.audit = new Audit(options.auditStore);
    this.gate = new Gate({ keys: this.keys, quotas, audit: this.audit });
    this.previews = new Previews({
      hostId,
      store: options.previewStore,
      machineStore: store,
      tokens: options.previewTokens,
      log,
    });
    this.sshConnections = new SshConnections({
      hostId,
      store: options.sshAccessStore,
      quotas,
      activity,
      onEvent,
    });
    this.#parts = [
      watchdog,
      forking,
      resuming,
      creation,
      this.snapshots,
      pausing,
      templates,
      this.#timeouts,
      idle,
      ending,
      removal,
      this.previews,
    ];
  }

  /** The machines that a caller can reach. */
  machinesOf({ projectId }: Pick<Caller, "projectId">): ProjectMachines {
    return new ProjectMachines(this.machines, this.#options.machineStore, projectId);
  }

  /** The snapshots that a caller can reach. */
  snapshotsOf({ projectId }: Pick<Caller, "projectId">): ProjectSnapshots {
    const { snapshots } = this;
    const { snapshotStore: store, machineStore } = this.#options;
    return new ProjectSnapshots({ snapshots, store, machineStore }, projectId);
  }

  /** The previews of the machines that a caller can reach. */
  previewsOf({ projectId }: Pick<Caller, "projectId">): ProjectPreviews {
    const { machineStore, previewStore } = this.#options;
    return new ProjectPreviews(this.previews, { machineStore, previewStore }, projectId);
  }

  /**
   * Takes over what a former server left: mends every machine, meets the
   * deadlines that passed meanwhile, and goes on doing both.
   */
  async start(): Promise<void> {
    const { hostId, machineStore, log } = this.#options;
    const { signal } = this.#stopping;
    for (const machine of await machineStore.listLive(hostId)) {
      for (const observe of this.#observers) observe(machine);
    }
    this.#background.push(
      keepRunning((stop) => this.#reconciler.followExits(stop), {
        name: "follow exits",
        signal,
        log,
      }),
    );
    // What cannot be written now, on a full disk, is written when it can.
    await this.#endLostConnections().catch((err: unknown) =>
      log.warn({ err }, "the end of SSH connections could not be noted"),
    );
    await this.#reconciler.reconcile(signal);
    await this.#timeouts.start();
    this.#background.push(
      repeat((stop) => this.#reconciler.reconcile(stop), RECONCILE_INTERVAL_MS, {
        name: "reconcile",
        signal,
        log,
      }),
      repeat(() => this.#endLostConnections(), RECONCILE_INTERVAL_MS, {
        name: "SSH connections",
        signal,
        log,
      }),
      repeat(() => this.#deleteExpired(), RETENTION_INTERVAL_MS, {
        name: "retention",
        signal,
        log,
      }),
      this.#captureEagerly(),
    );
  }

  /** Stops everything that is in progress. Machines that run go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error("the server is stopping"));
    for (const part of this.#parts) {
      if (Symbol.asyncDispose in part) await part[Symbol.asyncDispose]();
      else part[Symbol.dispose]();
    }
    await Promise.all(this.#background);
  }

  /** What a former server could not write of its connections, or this one could not yet. */
  async #endLostConnections(): Promise<void> {
    const connections = await this.sshConnections.endLost();
    if (connections > 0)
      this.#options.log.info({ connections }, "noted the end of SSH connections");
  }

  async #deleteExpired(): Promise<void> {
    const { machineStore, eventStore, previewStore, sshAccessStore } = this.#options;
    const { keepEndedMs, log } = this.#options;
    const records = await deleteExpiredRecords(
      async (before, limit) => machineStore.deleteEnded(before, limit),
      keepEndedMs,
    );
    if (records > 0) log.info({ records }, "deleted the records of machines that ended long ago");
    await deleteExpiredRecords(
      async (before, limit) => eventStore.deleteExpired(before, limit),
      keepEndedMs,
    );
    await deleteExpiredRecords(
      async (before, limit) => previewStore.deleteExpired(before, limit),
      keepEndedMs,
    );
    await deleteExpiredRecords(
      async (before, limit) => sshAccessStore.deleteExpired(before, limit),
      keepEndedMs,
    );
    await this.#deleteOldAudit();
  }

  /** However much is done in the time for which it is kept, the trail does not grow without end. */
  async #deleteOldAudit(): Promise<void> {
    const { auditStore, keepAuditMs } = this.#options;
    const oldest = await auditStore.oldestOf(MOST_AUDIT_ENTRIES);
    const age = oldest === undefined ? Infinity : Date.now() - oldest.getTime();
    await deleteExpiredRecords(
      async (before, limit) => auditStore.deleteExpired(before, limit),
      Math.min(keepAuditMs, age),
    );
  }

  /** The first create should not have to wait for a capture. If this fails, that create tells why. */
  async #captureEagerly(): Promise<void> {
    const { eagerTemplate, log } = this.#options;
    const { signal } = this.#stopping;
    const startedAt = performance.now();
    try {
      const template = await this.#templates.resolve(eagerTemplate, signal);
      const { imageDigest, defaultVcpus: vcpus, defaultMemoryMb: memoryMb } = template;
      const snapshotId = await this.#templates.capture({ imageDigest, vcpus, memoryMb }, signal);
      const durationMs = Math.round(performance.now() - startedAt);
      log.info({ template: eagerTemplate, snapshotId, durationMs }, "template is ready");
    } catch (err) {
      if (!signal.aborted) log.warn({ template: eagerTemplate, err }, "template is not ready");
    }
  }
}
