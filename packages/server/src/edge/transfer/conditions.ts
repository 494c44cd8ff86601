import type { IncomingHttpHeaders } from "node:http";

/** What a file is at the moment, as far as HTTP asks. */
export interface Validators {
  /** With its quotes. */
  etag: string;
  /** Milliseconds since the epoch. */
  modifiedAt: number;
}

/**
 * Weighs the conditions of a GET or HEAD request, in the order of RFC 9110,
 * section 13.2.2.
 *
 * @returns 304 or 412 where the conditions end the matter.
 */
export function checkConditions(
  headers: IncomingHttpHeaders,
  { etag, modifiedAt }: Validators,
): 304 | 412 | undefined {
  const match = headers["if-match"];
  if (match !== undefined) {
    if (!names(match, etag, false)) return 412;
  } else {
    const since = date(headers["if-unmodified-since"]);
    if (since !== undefined && inSeconds(modifiedAt) > since) return 412;
  }
  const noneMatch = headers["if-none-match"];
  if (noneMatch !== undefined) return names(noneMatch, etag, true) ? 304 : undefined;
  const since = date(headers["if-modified-since"]);
  return since !== undefined && inSeconds(modifiedAt) <= since ? 304 : undefined;
}

/** Whether a Range header holds for the file as it is now: If-Range says what it was. */
export function rangeHolds(headers: IncomingHttpHeaders, { etag, modifiedAt }: Validators) {
  const condition = headers["if-range"];
  if (typeof condition !== "string") return true;
  if (condition.startsWith('"')) return condition === etag;
  return date(condition) === inSeconds(modifiedAt);
}

/** Whether a list of entity tags has this one. */
function names(list: string, etag: string, weak: boolean): boolean {
  if (list.trim() === "*") return true;
  const tags = list.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return tags.some((tag) => tag === etag || (weak && tag === `W/${etag}`));
}

function date(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? "");
  return Number.isNaN(time) ? undefined : time;
}

/** Dates of HTTP know no smaller time. */
function inSeconds(time: number): number {
  return Math.floor(time / 1000) * 1000;
}
