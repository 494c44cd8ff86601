import type { Selectable } from "kysely";
import type { Page } from "../domain/machine-store.js";
import type { Project, ProjectLimits, ProjectStore, ProjectUsage } from "../domain/project.js";
import type { Database } from "./database.js";
import { toDate } from "./machine-row.js";
import { newestFirst, toPage } from "./pages.js";
import { toLimits } from "./project-limits.js";
import { usageOf } from "./project-usage.js";
import type { ProjectsTable } from "./schema.js";

/** Projects' records in a SQL database. */
export class SqlProjectStore implements ProjectStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async insert({ id, createdAt, limits }: Project): Promise<boolean> {
    const row = await this.#database
      .insertInto("projects")
      .values({ id, created_at: createdAt.getTime(), limits: JSON.stringify(limits) })
      .onConflict((conflict) => conflict.column("id").doNothing())
      .returning("id")
      .executeTakeFirst();
    return row !== undefined;
  }

  async find(id: string): Promise<Project | undefined> {
    const row = await this.#database
      .selectFrom("projects")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async list(limit: number, cursor: string): Promise<Page<Project>> {
    const select = this.#database
      .selectFrom("projects")
      .selectAll()
      .$call(newestFirst(limit, cursor));
    return toPage((await select.execute()).map(fromRow), limit);
  }

  async setLimits(id: string, limits: ProjectLimits): Promise<Project | undefined> {
    const row = await this.#database
      .updateTable("projects")
      .set({ limits: JSON.stringify(limits) })
      .where("id", "=", id)
      .returningAll()
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async usage(id: string): Promise<ProjectUsage> {
    return usageOf(this.#database, id);
  }
}

function fromRow({ id, created_at: createdAt, limits }: Selectable<ProjectsTable>): Project {
  return { id, createdAt: toDate(createdAt), limits: toLimits(limits) };
}
