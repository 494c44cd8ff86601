import { redactSecrets } from "@nullspace/proto/tokens";
import { type Caller, projectOf } from "./caller.js";
import { pageSize } from "./limits.js";
import type { Page } from "./machine-store.js";
import { randomAlphanumeric } from "./random.js";

/** Entries that are written in one transaction. */
const BATCH = 500;
/** Longest text of an entry: what a caller names may be anything. */
const MAX_TEXT = 128;

/** A call that somebody made, as `audit.proto` says. */
export interface AuditEntry {
  readonly id: string;
  readonly createdAt: Date;
  readonly projectId: string;
  readonly keyId: string;
  readonly rpc: string;
  readonly objectId: string;
  readonly outcome: string;
  readonly requestId: string;
}

/** What is known of a call when it is noted. */
export type AuditNote = Pick<AuditEntry, "rpc" | "objectId" | "outcome" | "requestId">;

/** Which entries are asked for, and which page of them. */
export interface AuditQuery {
  readonly projectId: string;
  /** Empty for those of every key. */
  readonly keyId: string;
  /** Empty for those of every object. */
  readonly objectId: string;
  readonly limit: number;
  readonly cursor: string;
}

/** Where the audit trail is kept. */
export interface AuditStore {
  /** Writes entries, all or none. */
  append(entries: readonly AuditEntry[]): Promise<void>;
  /** @throws Fault INVALID_ARGUMENT when the cursor is not one of ours. */
  list(query: AuditQuery): Promise<Page<AuditEntry>>;
  /**
   * Deletes at most `limit` entries from before `before`.
   *
   * @returns How many it deleted.
   */
  deleteExpired(before: Date, limit: number): Promise<number>;
  /** When the oldest of the newest `count` entries was written; `undefined` when there are fewer. */
  oldestOf(count: number): Promise<Date | undefined>;
}

/**
 * Keeps track of who did what. Entries that come together are written together: whoever waits for
 * one waits for at most the transaction before and its own.
 */
export class Audit {
  readonly #store: AuditStore;
  #waiting: AuditEntry[] = [];
  /** The write of those that wait, once the one before is through. */
  #next: Promise<void> | undefined;
  #current: Promise<void> = Promise.resolve();

  constructor(store: AuditStore) {
    this.#store = store;
  }

  /** Notes a call. Resolves when the note is durable. */
  async note({ keyId, projectId }: Caller, note: AuditNote): Promise<void> {
    this.#waiting.push({
      id: randomAlphanumeric(20),
      createdAt: new Date(),
      projectId,
      keyId,
      rpc: note.rpc,
      objectId: redactSecrets(note.objectId).slice(0, MAX_TEXT),
      outcome: note.outcome,
      requestId: redactSecrets(note.requestId).slice(0, MAX_TEXT),
    });
    this.#next ??= this.#current.then(() => this.#write());
    await this.#next;
  }

  /**
   * Entries, newest first.
   *
   * @throws Fault INVALID_ARGUMENT, SCOPE_MISSING for another project.
   */
  async list(caller: Caller, query: AuditQuery): Promise<Page<AuditEntry>> {
    const { projectId, limit } = query;
    return this.#store.list({
      ...query,
      projectId: projectOf(caller, projectId),
      limit: pageSize(limit),
    });
  }

  async #write(): Promise<void> {
    const entries = this.#waiting;
    this.#waiting = [];
    this.#next = undefined;
    const written = this.#append(entries);
    // The next write begins when this one is through, however that ends.
    this.#current = written.catch(() => undefined);
    await written;
  }

  async #append(entries: readonly AuditEntry[]): Promise<void> {
    for (let at = 0; at < entries.length; at += BATCH) {
      await this.#store.append(entries.slice(at, at + BATCH));
    }
  }
}
