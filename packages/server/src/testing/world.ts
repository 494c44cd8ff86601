import type { ControlPlane, ControlPlaneOptions } from "../domain/control-plane.js";
import type { Event } from "../domain/event.js";
import type { Machine } from "../domain/machine.js";
import { type Database, openDatabase } from "../store/database.js";
import { machineRequest, testControlPlane } from "./control-plane.js";
import { FakeHost } from "./fake-host.js";
import { eventQuery } from "./machines.js";

/** A signal that is never aborted. */
export const never: AbortSignal = new AbortController().signal;

/** A control plane that runs, over a fake host and a database in memory. */
export class TestWorld implements AsyncDisposable {
  readonly fakeHost = new FakeHost();
  readonly database: Database;
  plane: ControlPlane;

  private constructor(database: Database) {
    this.database = database;
    this.plane = testControlPlane({ fakeHost: this.fakeHost, database });
  }

  /** Starts one. */
  static async open(): Promise<TestWorld> {
    const world = new TestWorld(await openDatabase(":memory:", () => undefined));
    await world.plane.start();
    return world;
  }

  /** Stops the server and starts another one. `meanwhile` happens in between. */
  async restart(
    options: Partial<ControlPlaneOptions> = {},
    meanwhile: () => unknown = () => undefined,
  ): Promise<void> {
    const { fakeHost, database } = this;
    await this.plane[Symbol.asyncDispose]();
    await meanwhile();
    this.plane = testControlPlane({ fakeHost, database, ...options });
    await this.plane.start();
  }

  /** A running machine that has counted to a number. */
  async addRunning(fields: Parameters<typeof machineRequest>[0] = {}, count = 0): Promise<Machine> {
    const machine = await this.plane.machines.create(machineRequest(fields), never);
    this.count(machine.id, count);
    return machine;
  }

  /** A running machine that goes on counting from where its snapshot was. */
  async addChild(fields: Parameters<typeof machineRequest>[0]): Promise<Machine> {
    return this.plane.machines.create(machineRequest(fields), never);
  }

  /** Lets a machine count on. */
  count(id: string, count: number): void {
    const machine = this.fakeHost.machines.get(id);
    if (machine === undefined) throw new Error(`no machine ${id} on the host`);
    machine.count = count;
  }

  /** What a running machine has counted to. */
  countOf(id: string): number | undefined {
    return this.fakeHost.machines.get(id)?.count;
  }

  /** States that a machine has entered, in order. */
  async statesOf(id: string): Promise<(string | undefined)[]> {
    return (await this.events(id))
      .filter(({ type }) => type === "machine state")
      .map(({ toState }) => toState);
  }

  /** All events of a machine, oldest first. */
  async events(id: string): Promise<readonly Event[]> {
    const { items } = await this.plane.events.list(eventQuery(id), 100, "");
    return items.toReversed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plane[Symbol.asyncDispose]();
    await this.fakeHost[Symbol.asyncDispose]();
    await this.database.destroy();
  }
}

/** Holds up a hook of the fake host until it is released, and tells when it has begun. */
export function gate() {
  const begun = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  return {
    begun: begun.promise,
    release: () => released.resolve(),
    /** To be awaited inside the hook. */
    async pass(signal?: AbortSignal): Promise<void> {
      begun.resolve();
      signal?.addEventListener("abort", () => released.resolve());
      await released.promise;
    },
  };
}
