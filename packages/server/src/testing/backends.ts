import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestPostgres } from "./postgres.js";

/** Where a database under test lives. */
export interface Backend extends AsyncDisposable {
  /** Makes an empty database. */
  createDatabase(): Promise<string>;
}

function sqliteBackend(): Backend {
  const directory = mkdtempSync(join(tmpdir(), "store-"));
  let databases = 0;
  return {
    createDatabase: async () => join(directory, `${++databases}.db`),
    [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true }),
  };
}

/** Every kind of database, by name. */
export const BACKENDS: readonly [string, () => Promise<Backend>][] = [
  ["SQLite", async () => sqliteBackend()],
  ["PostgreSQL", async () => TestPostgres.start()],
];
