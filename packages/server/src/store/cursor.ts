import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** The last row of a page: the next page begins after it. */
export interface Position {
  readonly createdAt: number;
  readonly id: string;
}

/** Writes a position as a cursor, which says nothing to anyone but {@link decodeCursor}. */
export function encodeCursor({ createdAt, id }: Position): string {
  return Buffer.from(`${createdAt} ${id}`).toString("base64url");
}

/**
 * Reads a cursor.
 *
 * @returns `undefined` for the empty cursor: the first page.
 * @throws Fault INVALID_ARGUMENT.
 */
export function decodeCursor(cursor: string): Position | undefined {
  if (cursor === "") return undefined;
  const text = Buffer.from(cursor, "base64url").toString();
  const [, createdAt, id] = /^(\d{1,15}) ([a-z0-9-]{1,64})$/.exec(text) ?? [];
  if (createdAt !== undefined && id !== undefined) return { createdAt: Number(createdAt), id };
  throw new Fault(ErrorReason.INVALID_ARGUMENT, "cursor is not one that a listing returned", {
    remedy: "Pass next_cursor of the page before as it is, or nothing for the first page.",
    details: { field: "cursor" },
  });
}
