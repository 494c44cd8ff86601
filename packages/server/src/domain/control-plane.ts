import { Capacity, type CapacityLimits } from "./capacity.js";
import { Creation } from "./creation.js";
import { Ending } from "./ending.js";
import { MachineFeed } from "./feed.js";
import type { HostClient } from "./host.js";
import { keepRunning, repeat } from "./keep-running.js";
import type { KeyStore } from "./key-store.js";
import { Keys } from "./keys.js";
import { Lifecycle } from "./lifecycle.js";
import type { Log } from "./log.js";
import type { Machine } from "./machine.js";
import { Machines } from "./machines.js";
import type { MachineStore } from "./machine-store.js";
import { Reconciler } from "./reconciler.js";
import { deleteExpiredRecords } from "./retention.js";
import { Starts } from "./starts.js";
import { Templates } from "./templates.js";
import { Timeouts } from "./timeouts.js";
import { Watchdog } from "./watchdog.js";

const RECONCILE_INTERVAL_MS = 60_000;
const RETENTION_INTERVAL_MS = 600_000;

/** What a {@link ControlPlane} is made of. */
export interface ControlPlaneOptions {
  /** Names the host in machines' records: it stays the same for as long as the host's home. */
  readonly hostId: string;
  readonly host: HostClient;
  readonly machineStore: MachineStore;
  readonly keyStore: KeyStore;
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
  readonly keys: Keys;
  readonly #options: ControlPlaneOptions;
  readonly #templates: Templates;
  readonly #ending: Ending;
  readonly #creation: Creation;
  readonly #timeouts: Timeouts;
  readonly #watchdog: Watchdog;
  readonly #reconciler: Reconciler;
  readonly #observers: readonly ((machine: Machine) => void)[];
  readonly #stopping = new AbortController();
  readonly #background: Promise<void>[] = [];

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    const { hostId, host, machineStore: store, log } = options;
    const feed = new MachineFeed();
    const starts = new Starts();
    const capacity = new Capacity(options.capacity);
    this.#observers = [
      (machine) => capacity.observe(machine),
      (machine) => this.#timeouts.observe(machine),
      (machine) => this.#watchdog.observe(machine),
      (machine) => feed.publish(machine),
    ];
    const lifecycle = new Lifecycle(store, log, this.#observers);
    const ending = new Ending({ hostId, host, store, lifecycle, starts });
    const templates = new Templates(host, log);
    const creation = new Creation({
      hostId,
      host,
      store,
      lifecycle,
      templates,
      capacity,
      starts,
      ending,
      log,
    });
    this.#ending = ending;
    this.#templates = templates;
    this.#creation = creation;
    this.#timeouts = new Timeouts({ hostId, store, ending, log });
    this.#watchdog = new Watchdog({ hostId, starts, ending, log });
    this.#reconciler = new Reconciler({ hostId, host, store, starts, ending, log });
    this.machines = new Machines({ hostId, store, lifecycle, creation, ending, feed });
    this.keys = new Keys(options.keyStore);
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
    await this.#reconciler.reconcile(signal);
    await this.#timeouts.start();
    this.#background.push(
      repeat((stop) => this.#reconciler.reconcile(stop), RECONCILE_INTERVAL_MS, {
        name: "reconcile",
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
    this.#watchdog[Symbol.dispose]();
    await this.#creation[Symbol.asyncDispose]();
    await this.#templates[Symbol.asyncDispose]();
    await this.#timeouts[Symbol.asyncDispose]();
    await this.#ending[Symbol.asyncDispose]();
    await Promise.all(this.#background);
  }

  async #deleteExpired(): Promise<void> {
    const { machineStore, keepEndedMs, log } = this.#options;
    const records = await deleteExpiredRecords(machineStore, keepEndedMs);
    if (records > 0) log.info({ records }, "deleted the records of machines that ended long ago");
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
