import type { Database } from "./database.js";

/**
 * Deletes at most `limit` rows whose time was over before `before`, the oldest first.
 *
 * @returns How many it deleted.
 */
export async function deleteExpired(
  database: Database,
  table: "preview_grants" | "ssh_accesses",
  before: Date,
  limit: number,
): Promise<number> {
  const { numDeletedRows } = await database
    .deleteFrom(table)
    .where("id", "in", (eb) =>
      eb
        .selectFrom(table)
        .select("id")
        .where("expires_at", "<", before.getTime())
        .orderBy("expires_at")
        .limit(limit),
    )
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows);
}
