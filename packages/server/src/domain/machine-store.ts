import type { Machine, MachineState, Receipt, TimeoutAction } from "./machine.js";
import type { Transition } from "./transitions.js";

/** Everything that is known of a machine before it starts. */
export interface NewMachine {
  readonly id: string;
  readonly hostId: string;
  readonly templateName: string;
  readonly templateTag: string;
  readonly snapshotId: string;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly createdAt: Date;
  readonly onTimeout: TimeoutAction;
  readonly idempotencyKey: string | undefined;
  readonly requestHash: string;
}

/** What a transition writes besides the state; a field that is left out stays as it is. */
export interface MachineChanges {
  readonly startedAt?: Date;
  readonly timeoutAt?: Date | undefined;
  readonly endedAt?: Date | undefined;
  readonly failure?: string;
  readonly receipt?: Receipt;
  /** Lets the next request with the same idempotency key make a new machine. */
  readonly releaseKey?: boolean;
}

/** Which machines a listing is about, and which page of it. */
export interface MachineQuery {
  readonly states: readonly MachineState[];
  /** `undefined` for machines of every template. */
  readonly templateName: string | undefined;
  /** `undefined` for every tag. */
  readonly templateTag: string | undefined;
  /** Labels that a machine must carry, all of them. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly limit: number;
  /** Cursor of the page before; the first page when empty. */
  readonly cursor: string;
}

/** One page of a listing, newest first. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Empty on the last page. */
  readonly nextCursor: string;
}

/** Where machines' records are kept. Every method is one transaction. */
export interface MachineStore {
  /**
   * Adds a machine in state `creating`.
   *
   * @returns `undefined`, and adds nothing, when another machine has its idempotency key.
   */
  insert(machine: NewMachine): Promise<Machine | undefined>;
  find(id: string): Promise<Machine | undefined>;
  findByIdempotencyKey(key: string): Promise<Machine | undefined>;
  /**
   * Moves a machine along an edge of the state machine.
   *
   * @returns `undefined`, and changes nothing, when it is in none of the states the edge leaves.
   */
  transition(
    id: string,
    edge: Transition,
    at: Date,
    changes: MachineChanges,
  ): Promise<Machine | undefined>;
  /**
   * Sets a new deadline for a machine that is running or paused.
   *
   * @param onTimeout Kept as it is when `undefined`.
   * @returns `undefined`, and changes nothing, in any other state.
   */
  setDeadline(
    id: string,
    timeoutAt: Date | undefined,
    onTimeout: TimeoutAction | undefined,
  ): Promise<Machine | undefined>;
  /** @throws Fault INVALID_ARGUMENT when the cursor is not one of ours. */
  list(query: MachineQuery): Promise<Page<Machine>>;
  /** Every machine of a host that holds, or may hold, something there; of every host when `undefined`. */
  listLive(hostId: string | undefined): Promise<readonly Machine[]>;
  /** The earliest deadline of a host's running machines. */
  nextDeadline(hostId: string): Promise<Date | undefined>;
  /** Running machines of a host whose deadline is at or before `now`, the longest overdue first. */
  listDue(hostId: string, now: Date, limit: number): Promise<readonly Machine[]>;
  /**
   * Deletes at most `limit` records of machines that ended before `before`.
   *
   * @returns How many it deleted.
   */
  deleteEnded(before: Date, limit: number): Promise<number>;
}
