import { timestampDate } from "@bufbuild/protobuf/wkt";
import { SnapshotKind as Kind, type Snapshot as SnapshotMessage } from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import type { ConnectionOptions } from "./configuration.js";
import type { Connection } from "./connection.js";
import { defaultConnection } from "./default-connection.js";
import { InternalError } from "./errors.js";
import { randomKey } from "./idempotency.js";
import { Page, type PagePromise, pagePromise } from "./page.js";

/** Saving memory and disk of a large machine may take its time. */
export const CAPTURE_TIMEOUT_MS = 600_000;

/** What a snapshot was taken for: any number of machines, or one that was paused. */
export type SnapshotKind = "reusable" | "pause";

/** A snapshot's record: memory, devices and disk of a machine at one instant. */
export interface SnapshotInfo {
  id: string;
  /** `reusable` ones are for {@link Machine.create}, those of a `pause` for {@link Machine.resume}. */
  kind: SnapshotKind;
  /** The machine it was taken of. */
  machineId: string;
  /** The snapshot that machine was started from; undefined for a template. */
  parentId: string | undefined;
  /** Undefined when it was given none. */
  name: string | undefined;
  metadata: Record<string, string>;
  /** `name:tag` of the template that it all began with. */
  template: string;
  vcpus: number;
  /** MiB. */
  memoryMb: number;
  /** MiB. */
  diskMb: number;
  /** Bytes that it takes beside its parents. */
  sizeBytes: number;
  /** How long the machine stood still for it, in milliseconds. */
  stoppedMs: number;
  createdAt: Date;
}

/** What {@link Machine.createSnapshot} takes. */
export interface CreateSnapshotOptions extends CallOptions {
  /** At most 128 characters. */
  name?: string | undefined;
  /** Labels of your own, at most 64; {@link Snapshot.list} filters by them. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /** The same key makes the same snapshot. The SDK makes a fresh one for each call. */
  idempotencyKey?: string | undefined;
}

/** What {@link Snapshot.list} takes. */
export interface ListSnapshotsOptions extends CallOptions {
  /** Only those of this machine. */
  machineId?: string | undefined;
  /** Only those of this kind. */
  kind?: SnapshotKind | undefined;
  /** Only those with all of these labels. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /** Snapshots on a page, 1 to 100; 50 when not given. */
  limit?: number | undefined;
  /** `nextCursor` of the page before. */
  cursor?: string | undefined;
}

/** The snapshots of one account: what the static methods of {@link Snapshot} do, for this client. */
export class Snapshots {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** See {@link Machine.createSnapshot}. */
  async create(machineId: string, options: CreateSnapshotOptions = {}): Promise<SnapshotInfo> {
    const request = {
      machineId,
      name: options.name ?? "",
      metadata: options.metadata ?? {},
      idempotencyKey: options.idempotencyKey ?? randomKey(),
    };
    const { snapshot } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.snapshots.create(request, attempt),
      { idempotent: true, defaultTimeoutMs: CAPTURE_TIMEOUT_MS },
    );
    return fromSnapshotMessage(snapshot);
  }

  /** See {@link Snapshot.get}. */
  async get(id: string, options: CallOptions = {}): Promise<SnapshotInfo> {
    const { snapshot } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.snapshots.get({ id }, attempt),
      { idempotent: true },
    );
    return fromSnapshotMessage(snapshot);
  }

  /** See {@link Snapshot.list}. */
  list(options: ListSnapshotsOptions = {}): PagePromise<SnapshotInfo> {
    return pagePromise(this.#page(options, options.cursor ?? ""));
  }

  /** See {@link Snapshot.delete}. */
  async delete(id: string, options: CallOptions = {}): Promise<void> {
    await this.#connection.unary(
      options,
      (attempt) => this.#connection.snapshots.delete({ id }, attempt),
      { idempotent: true },
    );
  }

  async #page(options: ListSnapshotsOptions, cursor: string): Promise<Page<SnapshotInfo>> {
    const request = {
      machineId: options.machineId ?? "",
      kind: toKindMessage(options.kind),
      metadata: options.metadata ?? {},
      limit: options.limit ?? 0,
      cursor,
    };
    const { snapshots, nextCursor } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.snapshots.list(request, attempt),
      { idempotent: true },
    );
    const items = snapshots.map(fromSnapshotMessage);
    return new Page(items, nextCursor, (next) => this.#page(options, next));
  }
}

/**
 * Snapshots of machines, by the server and key of the environment or of the
 * options. To take one: {@link Machine.createSnapshot}.
 */
// oxlint-disable-next-line typescript/no-extraneous-class -- The shape of `Machine`, for what has no handle.
export class Snapshot {
  /**
   * Lists snapshots, newest first: await it for a page, loop over it for all.
   *
   * @example
   * ```ts
   * for await (const { id, name } of Snapshot.list({ kind: "reusable" })) console.log(id, name);
   * ```
   */
  static list(options: ListSnapshotsOptions & ConnectionOptions = {}): PagePromise<SnapshotInfo> {
    return new Snapshots(defaultConnection(options)).list(options);
  }

  /**
   * Reads a snapshot's record.
   *
   * @throws NotFoundError `SNAPSHOT_NOT_FOUND`
   */
  static get(id: string, options: CallOptions & ConnectionOptions = {}): Promise<SnapshotInfo> {
    return new Snapshots(defaultConnection(options)).get(id, options);
  }

  /**
   * Deletes a snapshot; what machines and other snapshots still need of its bytes
   * is kept. That of a paused machine takes the machine with it. Deleting one that
   * is gone succeeds.
   */
  static delete(id: string, options: CallOptions & ConnectionOptions = {}): Promise<void> {
    return new Snapshots(defaultConnection(options)).delete(id, options);
  }
}

/** A snapshot's record as the SDK gives it. */
export function fromSnapshotMessage(snapshot: SnapshotMessage | undefined): SnapshotInfo {
  if (snapshot?.createdAt === undefined) {
    throw new InternalError("the server's answer holds no snapshot", {
      remedy: "Is the server as new as this SDK?",
    });
  }
  return {
    id: snapshot.id,
    kind: snapshot.kind === Kind.PAUSE ? "pause" : "reusable",
    machineId: snapshot.machineId,
    parentId: snapshot.parentId || undefined,
    name: snapshot.name || undefined,
    metadata: { ...snapshot.metadata },
    template: snapshot.template,
    vcpus: snapshot.vcpus,
    memoryMb: snapshot.memoryMb,
    diskMb: snapshot.diskMb,
    sizeBytes: Number(snapshot.sizeBytes),
    stoppedMs: snapshot.stoppedMs,
    createdAt: timestampDate(snapshot.createdAt),
  };
}

function toKindMessage(kind: SnapshotKind | undefined): Kind {
  if (kind === undefined) return Kind.UNSPECIFIED;
  return kind === "pause" ? Kind.PAUSE : Kind.REUSABLE;
}
