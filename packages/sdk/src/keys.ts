import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type ApiKey as KeyMessage,
  scopeName,
  type SigningKey as SigningKeyMessage,
} from "@nullspace/proto";
import type { CallOptions } from "./call.js";
import type { Connection } from "./connection.js";
import { InternalError } from "./errors.js";
import { Page, type PagePromise, pagePromise } from "./page.js";
import { type Scope, toScopeMessage } from "./scopes.js";

/** An API key's record; the key itself is shown once, when it is made. */
export interface ApiKey {
  id: string;
  /** What the key is for. */
  name: string;
  /** The project that it belongs to. */
  project: string;
  /** What it may do, by {@link Scope}; also those that this SDK is too old to know. */
  scopes: string[];
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

/** What {@link Keys.create} takes. */
export interface CreateKeyOptions extends CallOptions {
  /** The project of the new key; the caller's own when not given. Another one is for operators. */
  project?: string | undefined;
  /** What it may do: nothing that the caller may not. All that the caller may, but `admin`, when not given. */
  scopes?: readonly Scope[] | undefined;
}

/** What {@link Keys.rotateSigning} takes. */
export interface RotateSigningOptions extends CallOptions {
  /** Ends everything that was signed before, instead of letting it be good until its time is over. */
  immediately?: boolean | undefined;
}

/** What signed tokens and URLs with, without its secret. */
export interface SigningKey {
  id: string;
  createdAt: Date;
  /** Undefined for the key that signs. */
  retiredAt: Date | undefined;
  /** Until when what it signed is good; undefined for the key that signs. */
  verifiesUntil: Date | undefined;
}

/** What {@link Keys.list} takes. */
export interface ListKeysOptions extends CallOptions {
  /** Keys of this project; of the caller's own when not given. Another one is for operators. */
  project?: string | undefined;
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

  /**
   * Makes a key; `name` says what it is for, in 1 to 100 characters.
   *
   * @throws PermissionError `SCOPE_MISSING` for a scope that the caller does not have
   * @example
   * ```ts
   * const { secret } = await client.keys.create("dashboard", { scopes: ["machines:read"] });
   * ```
   */
  async create(name: string, options: CreateKeyOptions = {}): Promise<CreatedApiKey> {
    const { project = "" } = options;
    const scopes = (options.scopes ?? []).map(toScopeMessage);
    const { key, secret } = await this.#connection.unary(options, (attempt) =>
      this.#connection.keys.create({ name, project, scopes }, attempt),
    );
    return { ...fromMessage(key), secret };
  }

  /** Lists keys: await it for a page, loop over it for all. */
  list(options: ListKeysOptions = {}): PagePromise<ApiKey> {
    return pagePromise(this.#page(options, options.cursor ?? ""));
  }

  async #page(options: ListKeysOptions, cursor: string): Promise<Page<ApiKey>> {
    const { project = "", limit = 0 } = options;
    const { keys, nextCursor } = await this.#connection.unary(
      options,
      (attempt) => this.#connection.keys.list({ project, limit, cursor }, attempt),
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

  /**
   * Signs preview and transfer URLs, cookies and relay tokens with a new key from now on. What was
   * signed before is good until its time is over. For operators.
   *
   * @returns the keys that count, the one that signs first
   */
  async rotateSigning(options: RotateSigningOptions = {}): Promise<SigningKey[]> {
    const { immediately = false } = options;
    const { keys } = await this.#connection.unary(options, (attempt) =>
      this.#connection.keys.rotateSigning({ immediately }, attempt),
    );
    return keys.map(fromSigningKeyMessage);
  }
}

function fromSigningKeyMessage(key: SigningKeyMessage): SigningKey {
  return {
    id: key.id,
    createdAt: key.createdAt ? timestampDate(key.createdAt) : new Date(0),
    retiredAt: key.retiredAt && timestampDate(key.retiredAt),
    verifiesUntil: key.verifiesUntil && timestampDate(key.verifiesUntil),
  };
}

function fromMessage(key: KeyMessage | undefined): ApiKey {
  if (key?.createdAt === undefined) {
    throw new InternalError("the server's answer holds no key");
  }
  return {
    id: key.id,
    name: key.name,
    project: key.project,
    scopes: key.scopes.map(scopeName),
    createdAt: timestampDate(key.createdAt),
    lastUsedAt: key.lastUsedAt && timestampDate(key.lastUsedAt),
    revokedAt: key.revokedAt && timestampDate(key.revokedAt),
  };
}
