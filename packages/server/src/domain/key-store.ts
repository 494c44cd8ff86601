import type { Scope } from "@nullspace/proto";
import type { Page } from "./machine-store.js";
import type { ProjectLimits } from "./project.js";

/** An API key's record. The key itself is nowhere. */
export interface ApiKey {
  readonly id: string;
  readonly projectId: string;
  readonly scopes: readonly Scope[];
  readonly name: string;
  /** SHA-256 of the whole key, in hexadecimal. */
  readonly hash: string;
  readonly createdAt: Date;
  /** Accurate to a minute. */
  readonly lastUsedAt: Date | undefined;
  /** `undefined` while the key is good. */
  readonly revokedAt: Date | undefined;
}

/** A key with what its project may do. */
export interface ProjectKey extends ApiKey {
  readonly projectLimits: ProjectLimits;
}

/** Where API keys' records are kept. */
export interface KeyStore {
  /** @returns Whether it was added: false when there is no such project. */
  insert(key: ApiKey): Promise<boolean>;
  find(id: string): Promise<ProjectKey | undefined>;
  /** @throws Fault INVALID_ARGUMENT when the cursor is not one of ours. */
  list(projectId: string, limit: number, cursor: string): Promise<Page<ApiKey>>;
  /**
   * Ends a key. One that has ended already keeps its time.
   *
   * @param projectId Only when it is of this project; of any when `undefined`.
   * @returns `undefined` when there is no such key.
   */
  revoke(id: string, projectId: string | undefined, at: Date): Promise<ApiKey | undefined>;
  setScopes(id: string, scopes: readonly Scope[]): Promise<void>;
  /** Notes that a key was used. */
  touch(id: string, at: Date): Promise<void>;
}
