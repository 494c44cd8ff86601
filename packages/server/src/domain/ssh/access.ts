import type { Page } from "../machine-store.js";
import type { Admission } from "../project.js";

/** An access to a machine by SSH: what was granted, without its secrets. */
export interface SshAccess {
  readonly id: string;
  readonly machineId: string;
  /** The project of the machine. */
  readonly projectId: string;
  /** Of the public key that was signed, as `ssh-keygen -l` shows it. */
  readonly fingerprint: string;
  /** SHA-256 of the relay token, in hexadecimal. */
  readonly tokenHash: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  /** `undefined` while it is good. */
  readonly revokedAt: Date | undefined;
  readonly lastUsedAt: Date | undefined;
  /** Connections that were opened with it. */
  readonly useCount: number;
}

/** Which accesses a listing is of. */
export interface SshAccessQuery {
  readonly machineId: string;
  readonly limit: number;
  readonly cursor: string;
}

/** A connection that begins. */
export interface NewSshConnection {
  readonly id: string;
  /** Whose server carries it. */
  readonly hostId: string;
  readonly startedAt: Date;
}

/** How a connection ended. */
export interface SshConnectionEnd {
  readonly at: Date;
  readonly cause: string;
  /** How long it was open, in milliseconds; `undefined` where nobody saw its end. */
  readonly openMs: number | undefined;
}

/** Where the records of accesses are kept, each with the events of what happens to it. */
export interface SshAccessStore {
  insert(access: SshAccess): Promise<void>;
  find(id: string): Promise<SshAccess | undefined>;
  /** @throws Fault INVALID_ARGUMENT when the cursor is not one of ours. */
  list(query: SshAccessQuery): Promise<Page<SshAccess>>;
  /**
   * Ends an access. One that has ended already keeps its time.
   *
   * @returns `undefined` when there is no such access.
   */
  revoke(id: string, at: Date): Promise<SshAccess | undefined>;
  /**
   * Notes a connection that begins, which is open until {@link end}.
   *
   * @returns `undefined`, and notes nothing, when the access is not good any more.
   * @throws Fault QUOTA_EXCEEDED, and notes nothing.
   */
  use(
    id: string,
    connection: NewSshConnection,
    admission: Admission,
  ): Promise<SshAccess | undefined>;
  /**
   * Notes the end of a connection, once however often it is told.
   *
   * @returns Whether it was open.
   */
  end(connectionId: string, end: SshConnectionEnd): Promise<boolean>;
  /** Ids of the connections of a host that are open, as far as the records know. */
  listOpen(hostId: string): Promise<readonly string[]>;
  /**
   * Deletes at most `limit` accesses whose time was over before `before`.
   *
   * @returns How many it deleted.
   */
  deleteExpired(before: Date, limit: number): Promise<number>;
}
