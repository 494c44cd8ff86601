import { ErrorReason, Scope } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { TOKEN_FAMILIES } from "@nullspace/proto/tokens";
import { type Caller, hasScope, projectOf, requireScope } from "./caller.js";
import { isDiskFull } from "./failure.js";
import { projectNotFound } from "./faults.js";
import { hashOf, isKept } from "./kept-hash.js";
import type { ApiKey, KeyStore, ProjectKey } from "./key-store.js";
import { invalid, LIMITS, pageSize } from "./limits.js";
import type { Page } from "./machine-store.js";
import { randomAlphanumeric } from "./random.js";

const ID_LENGTH = 12;
/** 227 bits. */
const SECRET_LENGTH = 44;
const KEY = /^ns_([a-z0-9]{12})_[a-z0-9]{44}$/;
const BEARER = /^Bearer +(\S+)$/i;
const MINUTE_MS = 60_000;

/** What a new key may do, and where. */
export interface KeyRequest {
  readonly name: string;
  /** The maker's own when empty. */
  readonly projectId: string;
  /** All that the maker may do, but for the server's affairs, when empty. */
  readonly scopes: readonly Scope[];
}

/** API keys: `ns_<id>_<secret>`, of which only a hash is kept. */
export class Keys {
  readonly #store: KeyStore;

  constructor(store: KeyStore) {
    this.#store = store;
  }

  /**
   * Makes a key.
   *
   * @returns Its record, and the key itself: it is nowhere else from now on.
   * @throws Fault INVALID_ARGUMENT for a bad name, SCOPE_MISSING for a scope that the maker does
   * not have or another project, PROJECT_NOT_FOUND.
   */
  async create(maker: Caller, request: KeyRequest): Promise<{ key: ApiKey; secret: string }> {
    const { name } = request;
    if (name.trim() === "" || name.length > LIMITS.maxKeyNameLength || name.includes("\0")) {
      throw invalid(
        "name",
        "is empty or too long",
        `Say in 1 to ${LIMITS.maxKeyNameLength} characters what the key is for.`,
      );
    }
    const projectId = projectOf(maker, request.projectId);
    const scopes = request.scopes.length === 0 ? inherited(maker.scopes) : request.scopes;
    for (const scope of scopes) requireScope(maker, scope);
    const id = randomAlphanumeric(ID_LENGTH);
    const secret = `${TOKEN_FAMILIES["api-key"].prefix}${id}_${randomAlphanumeric(SECRET_LENGTH)}`;
    const key: ApiKey = {
      id,
      projectId,
      scopes: [...new Set(scopes)],
      name,
      hash: hashOf(secret),
      createdAt: new Date(),
      lastUsedAt: undefined,
      revokedAt: undefined,
    };
    if (await this.#store.insert(key)) return { key, secret };
    throw projectNotFound(projectId);
  }

  /** Gives a key every scope: the operator's own, which is kept where only the operator reads. */
  async makeOperator(key: ApiKey): Promise<void> {
    if (!hasScope(key.scopes, Scope.ADMIN)) await this.#store.setScopes(key.id, [Scope.ADMIN]);
  }

  /**
   * Checks the Authorization header of a request.
   *
   * @returns The key that it carries.
   * @throws Fault INVALID_API_KEY when it is missing, malformed, unknown or revoked.
   */
  async authenticate(authorization: string | null | undefined): Promise<ProjectKey> {
    const secret = BEARER.exec(authorization ?? "")?.[1];
    if (secret === undefined) throw invalidKey("this call needs an API key");
    const id = KEY.exec(secret)?.[1];
    if (id === undefined) throw invalidKey("this is not an API key");
    const key = await this.#store.find(id);
    // Unknown keys cost the same as wrong ones, and both answer alike.
    const isGood = isKept(secret, key?.hash);
    if (!isGood || key === undefined) throw invalidKey("no such API key");
    if (key.revokedAt !== undefined) throw invalidKey("this API key was revoked");
    await this.#noteUse(key);
    return key;
  }

  /**
   * Keys of a project, newest first.
   *
   * @param projectId The caller's own when empty.
   * @param limit 1 to 100; 50 when 0.
   * @throws Fault INVALID_ARGUMENT, SCOPE_MISSING for another project.
   */
  async list(
    caller: Caller,
    projectId: string,
    limit: number,
    cursor: string,
  ): Promise<Page<ApiKey>> {
    return this.#store.list(projectOf(caller, projectId), pageSize(limit), cursor);
  }

  /**
   * Ends a key at once. Revoking a revoked key changes nothing.
   *
   * @throws Fault API_KEY_NOT_FOUND.
   */
  async revoke(caller: Caller, id: string): Promise<ApiKey> {
    const everywhere = hasScope(caller.scopes, Scope.ADMIN);
    const projectId = everywhere ? undefined : caller.projectId;
    const key = await this.#store.revoke(id, projectId, new Date());
    if (key !== undefined) return key;
    throw new Fault(
      ErrorReason.API_KEY_NOT_FOUND,
      `no API key ${JSON.stringify(id.slice(0, 80))}`,
      { remedy: "List the keys: the id is the part between the first two underscores." },
    );
  }

  /** One write a minute and key, however often it is used. */
  async #noteUse(key: ApiKey): Promise<void> {
    const minute = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
    if (key.lastUsedAt !== undefined && key.lastUsedAt.getTime() >= minute) return;
    try {
      await this.#store.touch(key.id, new Date(minute));
    } catch (error) {
      // With a full disk the key must still open the calls that make room.
      if (!isDiskFull(error)) throw error;
    }
  }
}

/** What a key may do whose maker does not say: no less than the maker, and none of the server's affairs. */
function inherited(scopes: readonly Scope[]): readonly Scope[] {
  return scopes.includes(Scope.ADMIN) ? [Scope.PROJECT] : scopes;
}

function invalidKey(problem: string): Fault {
  return new Fault(ErrorReason.INVALID_API_KEY, problem, {
    remedy:
      'Send "Authorization: Bearer <key>" with a key from `nullspace key create` (NULLSPACE_API_KEY in the SDK and CLI).',
  });
}
