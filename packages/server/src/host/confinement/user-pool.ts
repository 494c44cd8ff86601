import { createHash } from "node:crypto";
import { chown, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../../domain/log.js";
import { hasCode, temporaryName } from "../durable-files.js";

/** A user that one QEMU runs as and that owns nothing else. Its group has the same number. */
export interface GuestUser {
  readonly uid: number;
  readonly gid: number;
}

/** Numbers that neither Debian, systemd nor containers give to anyone. */
const FIRST_UID = 1_879_048_192;
const USERS_PER_HOME = 4096;
const HOMES = 65_536;

/**
 * Gives each QEMU a user of its own: one that breaks out of its guest finds
 * neither files nor processes of another. The users exist as numbers only.
 */
export class UserPool {
  readonly #firstUid: number;
  readonly #taken = new Set<number>();
  readonly #enabled: boolean;

  private constructor(home: string, enabled: boolean) {
    const slot = createHash("sha256").update(home).digest().readUInt16BE() % HOMES;
    this.#firstUid = FIRST_UID + slot * USERS_PER_HOME;
    this.#enabled = enabled;
  }

  /** Finds out whether this process may give files and processes to other users, and logs it if not. */
  static async open(home: string, log: Log): Promise<UserPool> {
    const pool = new UserPool(home, true);
    const probe = temporaryName(join(home, "user"));
    try {
      await writeFile(probe, "");
      await chown(probe, pool.#firstUid, pool.#firstUid);
      return pool;
    } catch (error) {
      if (!hasCode(error, "EPERM", "EINVAL")) throw error;
      log.warn({ code: error.code }, "machines run as this server's own user: it is not root");
      return new UserPool(home, false);
    } finally {
      await rm(probe, { force: true });
    }
  }

  /** A user that no other QEMU has, until it is released; `undefined` without the right to switch users. */
  acquire(): GuestUser | undefined {
    if (!this.#enabled) return undefined;
    for (let uid = this.#firstUid; uid < this.#firstUid + USERS_PER_HOME; uid++) {
      if (!this.#taken.has(uid)) return this.reserve(uid);
    }
    throw new Error(`all ${USERS_PER_HOME} users for machines are taken`);
  }

  /** Takes the user of a QEMU that a former server started; `undefined` when it is not one of ours. */
  reserve(uid: number): GuestUser | undefined {
    if (uid < this.#firstUid || uid >= this.#firstUid + USERS_PER_HOME) return undefined;
    this.#taken.add(uid);
    return { uid, gid: uid };
  }

  release(user: GuestUser | undefined): void {
    if (user !== undefined) this.#taken.delete(user.uid);
  }
}
