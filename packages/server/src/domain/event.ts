import type { MachineState } from "./machine.js";

/** What an event tells of, as `event.proto` says. */
export type EventType =
  | "machine state"
  | "machine timeout set"
  | "machine egress set"
  | "machine forked"
  | "snapshot created"
  | "snapshot deleted"
  | "ssh access created"
  | "ssh access revoked"
  | "ssh connected"
  | "ssh disconnected";

/** How a change came about: what its event says besides the change itself. */
export interface EventNote {
  /** "request", "timeout", "idle", "reconciler", "watchdog", "died", ... */
  readonly cause: string;
  /** Milliseconds that each phase took. */
  readonly timings?: Readonly<Record<string, number>>;
  /** Why it failed, in short. */
  readonly failure?: string;
}

/** Something that happened; see `event.proto` for its fields. Empty where there is nothing to say. */
export interface NewEvent extends EventNote {
  readonly type: EventType;
  readonly createdAt: Date;
  /** The project of what it tells of. */
  readonly projectId: string;
  readonly machineId: string;
  readonly snapshotId?: string;
  readonly sourceMachineId?: string;
  readonly sshAccessId?: string;
  readonly fromState?: MachineState;
  readonly toState?: MachineState;
}

/** An event as it is kept. */
export interface Event extends Required<Omit<NewEvent, "fromState" | "toState">> {
  /** Grows in the order in which events became visible. */
  readonly id: number;
  readonly fromState: MachineState | undefined;
  readonly toState: MachineState | undefined;
}

/** Which events are asked for. */
export interface EventQuery {
  readonly projectId: string;
  /** Only those of this machine; of all when empty. */
  readonly machineId: string;
}

/** Where events are kept. They are written by the stores of what they tell of, but for {@link append}. */
export interface EventStore {
  /** Writes an event that belongs to no change of a record. */
  append(event: NewEvent): Promise<void>;
  /** Id of the newest event; 0 when there is none. */
  lastId(): Promise<number>;
  /** Events after `id`, oldest first. */
  listAfter(id: number, query: EventQuery, limit: number): Promise<readonly Event[]>;
  /** Events before `id`, newest first; from the newest one on when `undefined`. */
  listBefore(id: number | undefined, query: EventQuery, limit: number): Promise<readonly Event[]>;
  /**
   * Deletes at most `limit` events from before `before` of machines whose record is gone.
   *
   * @returns How many it deleted.
   */
  deleteExpired(before: Date, limit: number): Promise<number>;
}
