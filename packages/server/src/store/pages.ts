import type { Page } from "../domain/machine-store.js";
import { encodeCursor } from "./cursor.js";

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
