import type { EgressPolicy } from "@nullspace/proto";
import type { EventNote } from "./event.js";
import type { Page } from "./machine-store.js";
import type { Admission } from "./project.js";

/** What a snapshot was taken for, as `snapshot.proto` says. */
export type SnapshotKind = "reusable" | "pause";

/** Being captured, there, or on its way out. Users see only those that are ready. */
export type SnapshotState = "creating" | "ready" | "deleting";

/** Everything that is known of a snapshot before it is captured. */
export interface NewSnapshot {
  readonly id: string;
  /** That of its machine. */
  readonly projectId: string;
  readonly hostId: string;
  readonly kind: SnapshotKind;
  readonly machineId: string;
  /** The snapshot that its machine was started from; empty for a template. */
  readonly parentId: string;
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly templateName: string;
  readonly templateTag: string;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  /** Default working directory of its machine. */
  readonly cwd: string;
  /** What its machine may reach. */
  readonly egress: EgressPolicy;
  readonly createdAt: Date;
  readonly idempotencyKey: string | undefined;
  readonly requestHash: string;
}

/** What the host tells of a capture that it has taken. */
export interface Capture {
  readonly sizeBytes: number;
  /** How long the machine stood still, in milliseconds. */
  readonly stoppedMs: number;
  readonly diskMb: number;
}

/** A snapshot's record. */
export interface Snapshot extends Omit<NewSnapshot, "idempotencyKey">, Capture {
  readonly state: SnapshotState;
}

/** Which snapshots a listing is about, and which page of it. */
export interface SnapshotQuery {
  readonly projectId: string;
  /** Empty for those of all machines. */
  readonly machineId: string;
  readonly kind: SnapshotKind | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly limit: number;
  readonly cursor: string;
}

/**
 * Where snapshots' records are kept. Every method is one transaction. The record
 * of a pause is made and completed by its machine's own transitions.
 */
export interface SnapshotStore {
  /**
   * Adds a snapshot in state `creating`.
   *
   * @param admission What has to let it into its project.
   * @returns `undefined`, and adds nothing, when another one of its project has its idempotency key.
   * @throws Fault QUOTA_EXCEEDED, and adds nothing.
   */
  insert(snapshot: NewSnapshot, admission?: Admission): Promise<Snapshot | undefined>;
  /** A snapshot of whatever project: for the server's own work. */
  find(id: string): Promise<Snapshot | undefined>;
  /** A snapshot of a project: for its callers. */
  findIn(projectId: string, id: string): Promise<Snapshot | undefined>;
  findByIdempotencyKey(projectId: string, key: string): Promise<Snapshot | undefined>;
  /**
   * Makes a snapshot that was `creating` ready.
   *
   * @returns `undefined`, and changes nothing, when it is in another state.
   */
  complete(id: string, capture: Capture, at: Date, note: EventNote): Promise<Snapshot | undefined>;
  /** Hides a snapshot from its owner before the host removes it. */
  beginDelete(id: string): Promise<void>;
  /** Removes the record, with an event unless it never got ready. Nothing to do for one that is gone. */
  remove(id: string, at: Date, note: EventNote): Promise<void>;
  /** Those that are ready. @throws Fault INVALID_ARGUMENT when the cursor is not one of ours. */
  list(query: SnapshotQuery): Promise<Page<Snapshot>>;
  /** Every one of a host, in every state. */
  listOfHost(hostId: string): Promise<readonly Snapshot[]>;
}
