import type { EgressPolicy } from "@nullspace/proto";
import type { Machine, MachineState, PreviewPolicy, Receipt, TimeoutAction } from "./machine.js";
import type { EventNote } from "./event.js";
import type { Admission } from "./project.js";
import type { Capture, NewSnapshot } from "./snapshot.js";
import type { Transition } from "./transitions.js";

/** Everything that is known of a machine before it starts. */
export interface NewMachine {
  readonly id: string;
  readonly projectId: string;
  readonly hostId: string;
  readonly templateName: string;
  readonly templateTag: string;
  readonly snapshotId: string;
  readonly sourceSnapshotId: string;
  readonly parentId: string;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly createdAt: Date;
  readonly onTimeout: TimeoutAction;
  readonly timeoutSeconds: number;
  readonly autoResume: boolean;
  readonly previews: PreviewPolicy;
  readonly idleSeconds: number;
  readonly deletePausedAfterSeconds: number;
  readonly egress: EgressPolicy;
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
  readonly fromWarmPool?: boolean;
  readonly pausedSnapshotId?: string;
  readonly resumedAs?: string;
  readonly deleteAt?: Date | undefined;
  /** Lets the next request with the same idempotency key make a new machine. */
  readonly releaseKey?: boolean;
  /** What becomes of the snapshot of a pause, in the same transaction. */
  readonly snapshot?: SnapshotStep;
}

/** What a machine's own transition does to the snapshot of its pause. */
export type SnapshotStep =
  | { readonly add: NewSnapshot }
  | { readonly complete: string; readonly capture: Capture }
  | { readonly remove: string };

/** New timeouts of a machine; a field that is left out stays as it is. */
export interface TimeoutChanges {
  readonly timeoutAt?: Date | undefined;
  readonly timeoutSeconds?: number;
  readonly onTimeout?: TimeoutAction;
  readonly autoResume?: boolean;
  readonly idleSeconds?: number;
  readonly deletePausedAfterSeconds?: number;
  readonly deleteAt?: Date | undefined;
}

/** Which machines a listing is about, and which page of it. */
export interface MachineQuery {
  readonly projectId: string;
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

/** Where machines' records are kept. Every method is one transaction, and what it changes is an event in it. */
export interface MachineStore {
  /**
   * Adds a machine in state `creating`.
   *
   * @param admission What has to let it into its project.
   * @returns `undefined`, and adds nothing, when another machine of its project has its idempotency key.
   * @throws Fault QUOTA_EXCEEDED, and adds nothing.
   */
  insert(machine: NewMachine, note: EventNote, admission?: Admission): Promise<Machine | undefined>;
  /** A machine of whatever project: for the server's own work. */
  find(id: string): Promise<Machine | undefined>;
  /** A machine of a project: for its callers. */
  findIn(projectId: string, id: string): Promise<Machine | undefined>;
  findByIdempotencyKey(projectId: string, key: string): Promise<Machine | undefined>;
  /** The machine that was paused into this snapshot, whatever became of it. */
  findByPausedSnapshot(snapshotId: string): Promise<Machine | undefined>;
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
    note: EventNote,
  ): Promise<Machine | undefined>;
  /**
   * Sets new timeouts for a machine.
   *
   * @returns `undefined`, and changes nothing, when it is not in the state `from`.
   */
  setTimeouts(
    id: string,
    from: MachineState,
    changes: TimeoutChanges,
    at: Date,
  ): Promise<Machine | undefined>;
  /**
   * Sets what a machine may reach.
   *
   * @returns `undefined`, and changes nothing, when it is not in the state `from`.
   */
  setEgress(
    id: string,
    from: MachineState,
    egress: EgressPolicy,
    at: Date,
  ): Promise<Machine | undefined>;
  /** @throws Fault INVALID_ARGUMENT when the cursor is not one of ours. */
  list(query: MachineQuery): Promise<Page<Machine>>;
  /** Every machine of a host that has not ended; of every host when `undefined`. */
  listLive(hostId: string | undefined): Promise<readonly Machine[]>;
  /** Every machine of a project that has not ended. */
  listLiveIn(projectId: string): Promise<readonly Machine[]>;
  /** The earliest moment at which a host's machine is due, see {@link listDue}. */
  nextDeadline(hostId: string): Promise<Date | undefined>;
  /**
   * Machines of a host whose time is up at `now`, the longest overdue first: running ones at
   * their deadline, and paused ones that nobody has resumed.
   */
  listDue(hostId: string, now: Date, limit: number): Promise<readonly Machine[]>;
  /**
   * Deletes at most `limit` records of machines that ended before `before`.
   *
   * @returns How many it deleted.
   */
  deleteEnded(before: Date, limit: number): Promise<number>;
}
