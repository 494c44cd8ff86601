import { type SelectQueryBuilder, sql, type SqlBool } from "kysely";
import type { Page } from "../domain/machine-store.js";
import { decodeCursor, encodeCursor } from "./cursor.js";

/**
 * Has a query, of a table with `created_at` and `id`, give what {@link toPage} takes: the newest rows
 * first, from behind a cursor on.
 *
 * @throws Fault INVALID_ARGUMENT when the cursor is not one of ours.
 * @example
 * ```ts
 * const rows = await database.selectFrom("audit").selectAll().$call(newestFirst(50, "")).execute();
 * ```
 */
export function newestFirst(limit: number, cursor: string) {
  const after = decodeCursor(cursor);
  const [createdAt, id] = [sql.ref<number>("created_at"), sql.ref<string>("id")];
  return <Tables, Table extends keyof Tables, Row>(
    select: SelectQueryBuilder<Tables, Table, Row>,
  ): SelectQueryBuilder<Tables, Table, Row> => {
    const page = select
      .orderBy(createdAt, "desc")
      .orderBy(id, "desc")
      .limit(limit + 1);
    if (after === undefined) return page;
    return page.where(sql<SqlBool>`(${createdAt}, ${id}) < (${after.createdAt}, ${after.id})`);
  };
}

/**
 * Makes a page of rows.
 *
 * @param rows One row more than `limit`, if there is one: it tells that there is another page.
 */
export function toPage<T extends { readonly id: string; readonly createdAt: Date }>(
  rows: readonly T[],
  limit: number,
): Page<T> {
  const items = rows.slice(0, limit);
  const last = rows.length > limit ? items.at(-1) : undefined;
  if (last === undefined) return { items, nextCursor: "" };
  return { items, nextCursor: encodeCursor({ createdAt: last.createdAt.getTime(), id: last.id }) };
}
