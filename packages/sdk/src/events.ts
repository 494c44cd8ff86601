import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type Event as EventMessage,
  EventType as Type,
  MachineState as StateMessage,
} from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import type { Connection } from "./connection.js";
import { NullspaceError, UnavailableError } from "./errors.js";
import { fromStateMessage, type MachineState } from "./machine-info.js";
import { Page, type PagePromise, pagePromise } from "./page.js";
import { delayMs, isTransient, pause, REATTACH_RETRIES } from "./retry.js";

/** A stream that lived for so long was well: failures before it do not count, in milliseconds. */
const WELL_MS = 10_000;

/** What an event tells of. */
export type EventType =
  | "machine.state"
  | "machine.timeout_set"
  | "machine.egress_set"
  | "machine.forked"
  | "snapshot.created"
  | "snapshot.deleted"
  | "ssh.access_created"
  | "ssh.access_revoked"
  | "ssh.connected"
  | "ssh.disconnected"
  | "unknown";

/** Something that happened to a machine or a snapshot. */
export interface LifecycleEvent {
  /** Grows with time; `afterId` of a later {@link Events.watch}. */
  id: number;
  type: EventType;
  createdAt: Date;
  machineId: string;
  snapshotId: string | undefined;
  /** The machine that it came from: of a fork, a resume or a start from a snapshot. */
  sourceMachineId: string | undefined;
  /** Of a change of state. */
  fromState: MachineState | undefined;
  /** Of a change of state. */
  toState: MachineState | undefined;
  /** `request`, `timeout`, `idle`, `reconciler`, `watchdog`, `died`, ... */
  cause: string;
  /** Milliseconds that each phase took. */
  timingsMs: Record<string, number>;
  /** Why it failed, in short. */
  failure: string | undefined;
  /** Of SSH: by which access. */
  sshAccessId: string | undefined;
}

/** What {@link Events.list} takes. */
export interface ListEventsOptions extends CallOptions {
  /** Only those of this machine. */
  machineId?: string | undefined;
  /** Events on a page, 1 to 100; 50 when not given. */
  limit?: number | undefined;
  /** `nextCursor` of the page before. */
  cursor?: string | undefined;
}

/** What {@link Events.watch} takes. */
export interface WatchEventsOptions extends CallOptions {
  /** Only those of this machine. */
  machineId?: string | undefined;
  /** Id of the last event that was seen: begins after it. From now on when not given. */
  afterId?: number | undefined;
}

/** What happened to machines and snapshots, in order, each with its cause. */
export class Events {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Lists events, newest first: await it for a page, loop over it for all. */
  list(options: ListEventsOptions = {}): PagePromise<LifecycleEvent> {
    return pagePromise(this.#page(options, options.cursor ?? ""));
  }

  /**
   * Follows events as they happen, until the loop is left or `signal` is aborted.
   * When the connection is lost it goes on after the last event that was seen:
   * none is missed or told twice.
   *
   * @throws UnavailableError when the server stays away for about twenty seconds
   * @example
   * ```ts
   * for await (const event of client.events.watch()) {
   *   console.log(event.machineId, event.toState, event.cause);
   * }
   * ```
   */
  async *watch(options: WatchEventsOptions = {}): AsyncGenerator<LifecycleEvent, void, undefined> {
    const machineId = options.machineId ?? "";
    const signal = options.signal ?? new AbortController().signal;
    // Known before the first event, so that nothing is lost if the stream breaks before it.
    let last = options.afterId ?? (await this.#newestId(options));
    for (let failures = 0; ; failures++) {
      const startedAt = performance.now();
      try {
        const events = this.#connection.stream(options, (attempt) =>
          this.#connection.events.watch({ machineId, afterId: BigInt(last) }, attempt),
        );
        for await (const { event } of events) {
          if (event === undefined) continue;
          failures = 0;
          last = Number(event.id);
          yield fromEventMessage(event);
        }
        throw new UnavailableError("the server ended the stream of events", {
          reason: "CONNECTION_LOST",
          retryable: true,
        });
      } catch (error) {
        if (performance.now() - startedAt > WELL_MS) failures = 0;
        const lost = error instanceof NullspaceError && isTransient(error);
        if (!lost || signal.aborted || failures >= REATTACH_RETRIES.retries) throw error;
        await pause(delayMs(REATTACH_RETRIES, failures, error), signal);
      }
    }
  }

  async #newestId(options: CallOptions): Promise<number> {
    const { items } = await this.#page({ ...options, limit: 1 }, "");
    // A stream after 0 would begin when it is opened; there is no event 1 yet that could be missed.
    return items[0]?.id ?? 0;
  }

  async #page(options: ListEventsOptions, cursor: string): Promise<Page<LifecycleEvent>> {
    const request = { machineId: options.machineId ?? "", limit: options.limit ?? 0, cursor };
    const { events, nextCursor } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.events.list(request, attempt),
      { idempotent: true },
    );
    const items = events.map(fromEventMessage);
    return new Page(items, nextCursor, (next) => this.#page(options, next));
  }
}

const TYPES: Record<Type, EventType> = {
  // Only a server newer than this SDK could send a type that is not here.
  [Type.UNSPECIFIED]: "unknown",
  [Type.MACHINE_STATE]: "machine.state",
  [Type.MACHINE_TIMEOUT_SET]: "machine.timeout_set",
  [Type.MACHINE_EGRESS_SET]: "machine.egress_set",
  [Type.MACHINE_FORKED]: "machine.forked",
  [Type.SNAPSHOT_CREATED]: "snapshot.created",
  [Type.SNAPSHOT_DELETED]: "snapshot.deleted",
  [Type.SSH_ACCESS_CREATED]: "ssh.access_created",
  [Type.SSH_ACCESS_REVOKED]: "ssh.access_revoked",
  [Type.SSH_CONNECTED]: "ssh.connected",
  [Type.SSH_DISCONNECTED]: "ssh.disconnected",
};

function fromEventMessage(event: EventMessage): LifecycleEvent {
  return {
    id: Number(event.id),
    type: TYPES[event.type] ?? "unknown",
    createdAt: event.createdAt ? timestampDate(event.createdAt) : new Date(0),
    machineId: event.machineId,
    snapshotId: event.snapshotId || undefined,
    sourceMachineId: event.sourceMachineId || undefined,
    fromState: stateOf(event.fromState),
    toState: stateOf(event.toState),
    cause: event.cause,
    timingsMs: { ...event.timingsMs },
    failure: event.failure || undefined,
    sshAccessId: event.sshAccessId || undefined,
  };
}

function stateOf(state: StateMessage): MachineState | undefined {
  return state === StateMessage.UNSPECIFIED ? undefined : fromStateMessage(state);
}
