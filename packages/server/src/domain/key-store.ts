import type { Page } from "./machine-store.js";

/** An API key's record. The key itself is nowhere. */
export interface ApiKey {
  readonly id: string;
  readonly name: string;
  /** SHA-256 of the whole key, in hexadecimal. */
  readonly hash: string;
  readonly createdAt: Date;
  /** Accurate to a minute. */
  readonly lastUsedAt: Date | undefined;
  /** `undefined` while the key is good. */
  readonly revokedAt: Date | undefined;
}

/** Where API keys' records are kept. */
export interface KeyStore {
  insert(key: ApiKey): Promise<void>;
  find(id: string): Promise<ApiKey | undefined>;
  /** @throws Fault INVALID_ARGUMENT when the cursor is not one of ours. */
  list(limit: number, cursor: string): Promise<Page<ApiKey>>;
  /**
   * Ends a key. One that has ended already keeps its time.
   *
   * @returns `undefined` when there is no such key.
   */
  revoke(id: string, at: Date): Promise<ApiKey | undefined>;
  /** Notes that a key was used. */
  touch(id: string, at: Date): Promise<void>;
}
