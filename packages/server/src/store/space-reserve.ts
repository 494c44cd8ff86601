import { randomBytes } from "node:crypto";
import { open, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { isDiskFull } from "../domain/failure.js";

/** Enough to record hundreds of kills. */
const RESERVE_BYTES = 4 << 20;

/** Runs a transaction that gives space back once it is done, also when there is none left for it. */
export interface Reserve {
  /** Runs the whole transaction; again, after making room for it, when there was no space. */
  spend<T>(transaction: () => Promise<T>): Promise<T>;
}

/** Of a database whose disk is not ours to keep space on. */
export const NO_RESERVE: Reserve = { spend: (transaction) => transaction() };

/**
 * A file that holds space on the disk of the database. A kill has to be recorded before it
 * frees anything: on a full disk that would be impossible, and with it the way out.
 */
export class SpaceReserve implements Reserve {
  readonly #path: string;
  #isWhole = false;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Takes the space if there is plenty; else as soon as there is, after some transaction. */
  static async open(path: string): Promise<SpaceReserve> {
    const reserve = new SpaceReserve(path);
    await reserve.#fill();
    return reserve;
  }

  async spend<T>(transaction: () => Promise<T>): Promise<T> {
    const result = await this.#try(transaction);
    if (!this.#isWhole) await this.#fill();
    return result;
  }

  async #try<T>(transaction: () => Promise<T>): Promise<T> {
    try {
      return await transaction();
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
    await this.#release();
    return await transaction();
  }

  async #release(): Promise<void> {
    this.#isWhole = false;
    await using file = await open(this.#path, "a", 0o600);
    await file.truncate(0);
    // Only then the file system gives it to others.
    await file.sync();
  }

  async #fill(): Promise<void> {
    await using file = await open(this.#path, "a", 0o600);
    const { size } = await file.stat();
    if (size !== RESERVE_BYTES) {
      // As much is left to others, or they would meet a full disk for our sake.
      const { bavail, bsize } = await statfs(dirname(this.#path));
      if (bavail * bsize < 2 * RESERVE_BYTES) return;
      await file.truncate(0);
      try {
        // Zeros would take no space on a file system that compresses.
        await file.appendFile(randomBytes(RESERVE_BYTES));
        await file.sync();
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
        // Somebody was faster.
        return await file.truncate(0);
      }
    }
    this.#isWhole = true;
  }
}
