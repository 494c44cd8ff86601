import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { StartError } from "../start-error.js";

/**
 * Keeps a second server away from a home.
 *
 * The lock is a write lock on a tiny SQLite file: the kernel holds it for this
 * process and drops it with the process, however that ends, so there is no stale
 * lock to find out about. The file tells who holds it, which a file locked by
 * `flock` could not: Node has no flock.
 */
export class ServerLock implements Disposable {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Takes the lock of a home, or fails at once.
   *
   * @throws StartError when another server has it.
   */
  static acquire(home: string): ServerLock {
    const database = new DatabaseSync(join(home, "server.lock"));
    try {
      // The owner's number is committed first, so that others can read it beside the lock.
      database.exec(`begin immediate;
        create table if not exists owner (pid integer not null);
        delete from owner;
        insert into owner values (${process.pid});
        commit;
        begin immediate`);
      return new ServerLock(database);
    } catch (error) {
      const owner = readOwner(database);
      database.close();
      if (!isBusy(error)) throw error;
      throw new StartError(`another server${owner} has the home ${home}`, {
        remedy: "Use that one, stop it first, or give this one another home with --home.",
        cause: error,
      });
    }
  }

  /** Gives the home free. */
  [Symbol.dispose](): void {
    this.#database.close();
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === 5;
}

function readOwner(database: DatabaseSync): string {
  try {
    const pid = database.prepare("select pid from owner").get()?.["pid"];
    return typeof pid === "number" ? ` (process ${pid})` : "";
  } catch {
    // Between its first and second lock the owner has not said who it is.
    return "";
  }
}
