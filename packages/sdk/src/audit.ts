import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { AuditEntry as AuditMessage } from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import type { Connection } from "./connection.js";
import { Page, type PagePromise, pagePromise } from "./page.js";

/** A call that somebody made. */
export interface AuditEntry {
  id: string;
  createdAt: Date;
  project: string;
  /** Id of the API key that made it. */
  keyId: string;
  /** `nullspace.v1.MachineService/Create`, ... */
  rpc: string;
  /** The machine, snapshot, key or project that it was about; undefined when there was none yet. */
  objectId: string | undefined;
  /** `ok`, `forwarded` for a call that went on to a machine's agent, or the reason of its failure. */
  outcome: string;
  /** As in the server's log, and in the errors of this SDK. */
  requestId: string;
}

/** What {@link Audit.list} takes. */
export interface ListAuditOptions extends CallOptions {
  /** The caller's own when not given. Another one is for operators. */
  project?: string | undefined;
  /** Only what was done with this key. */
  keyId?: string | undefined;
  /** Only what was done to this machine, snapshot, key or project. */
  objectId?: string | undefined;
  /** Entries on a page, 1 to 100; 50 when not given. */
  limit?: number | undefined;
  /** `nextCursor` of the page before. */
  cursor?: string | undefined;
}

/** Who did what: calls that change something or act in a machine, and those refused for their key. */
export class Audit {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Lists entries, newest first: await it for a page, loop over it for all.
   *
   * @example
   * ```ts
   * for await (const { createdAt, keyId, rpc, outcome } of client.audit.list({ objectId: machine.id })) {
   *   console.log(createdAt, keyId, rpc, outcome);
   * }
   * ```
   */
  list(options: ListAuditOptions = {}): PagePromise<AuditEntry> {
    return pagePromise(this.#page(options, options.cursor ?? ""));
  }

  async #page(options: ListAuditOptions, cursor: string): Promise<Page<AuditEntry>> {
    const { project = "", keyId = "", objectId = "", limit = 0 } = options;
    const { entries, nextCursor } = await this.#connection.unary(
      options,
      (attempt) =>
        this.#connection.audit.list({ project, keyId, objectId, limit, cursor }, attempt),
      { idempotent: true },
    );
    return new Page(entries.map(fromMessage), nextCursor, (next) => this.#page(options, next));
  }
}

function fromMessage(entry: AuditMessage): AuditEntry {
  const { id, createdAt, project, keyId, rpc, objectId, outcome, requestId } = entry;
  return {
    id,
    createdAt: createdAt ? timestampDate(createdAt) : new Date(0),
    project,
    keyId,
    rpc,
    objectId: objectId || undefined,
    outcome,
    requestId,
  };
}
