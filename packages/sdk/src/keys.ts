import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { ApiKey as KeyMessage } from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import type { Connection } from "./connection.js";
import { InternalError } from "./errors.js";
import { Page, type PagePromise, pagePromise } from "./page.js";

/** An API key's record; the key itself is shown once, when it is made. */
export interface ApiKey {
  id: string;
  /** What the key is for. */
  name: string;
  createdAt: Date;
  /** Accurate to a minute; undefined while the key was never used. */
  lastUsedAt: Date | undefined;
  /** Undefined while the key is good. */
  revokedAt: Date | undefined;
}

/** A key that was just made. */
export interface CreatedApiKey extends ApiKey {
  /** The key itself. This is the only time it can be seen. */
  secret: string;
}

/** What {@link Keys.list} takes. */
export interface ListKeysOptions extends CallOptions {
  /** Keys on a page, 1 to 100; 50 when not given. */
  limit?: number | undefined;
  /** `nextCursor` of the page before. */
  cursor?: string | undefined;
}

/** The API keys of one account. */
export class Keys {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Makes a key; `name` says what it is for, in 1 to 100 characters. */
  async create(name: string, options: CallOptions = {}): Promise<CreatedApiKey> {
    const { key, secret } = await this.#connection.unary(options, (attempt) =>
      this.#connection.keys.create({ name }, attempt),
    );
    return { ...fromMessage(key), secret };
  }

  /** Lists keys: await it for a page, loop over it for all. */
  list(options: ListKeysOptions = {}): PagePromise<ApiKey> {
    return pagePromise(this.#page(options, options.cursor ?? ""));
  }

  async #page(options: ListKeysOptions, cursor: string): Promise<Page<ApiKey>> {
    const { keys, nextCursor } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.keys.list({ limit: options.limit ?? 0, cursor }, attempt),
      { idempotent: true },
    );
    return new Page(keys.map(fromMessage), nextCursor, (next) => this.#page(options, next));
  }

  /**
   * Ends a key at once. Revoking it again succeeds.
   *
   * @throws NotFoundError `API_KEY_NOT_FOUND`
   */
  async revoke(id: string, options: CallOptions = {}): Promise<ApiKey> {
    const { key } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.keys.revoke({ id }, attempt),
      { idempotent: true },
    );
    return fromMessage(key);
  }
}

function fromMessage(key: KeyMessage | undefined): ApiKey {
  if (key?.createdAt === undefined) {
    throw new InternalError("the server's answer holds no key");
  }
  return {
    id: key.id,
    name: key.name,
    createdAt: timestampDate(key.createdAt),
    lastUsedAt: key.lastUsedAt && timestampDate(key.lastUsedAt),
    revokedAt: key.revokedAt && timestampDate(key.revokedAt),
  };
}
