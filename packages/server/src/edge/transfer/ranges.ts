/** Bytes from start up to, not including, end. */
export interface ByteSpan {
  start: number;
  end: number;
}

/**
 * The part of a file that a Range header asks for.
 *
 * @returns "whole" where there is none, or one that may be ignored (other units,
 * several ranges, nonsense); "unsatisfiable" where it lies outside of the file.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): ByteSpan | "whole" | "unsatisfiable" {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/.exec(header ?? "");
  if (match === null) return "whole";
  const [, first = "", last = ""] = match;
  if (first === "") {
    if (last === "") return "whole";
    const length = Math.min(Number(last), size);
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size };
  }
  const start = Number(first);
  const end = last === "" ? size : Math.min(Number(last) + 1, size);
  if (last !== "" && Number(last) < start) return "whole";
  return start >= size ? "unsatisfiable" : { start, end };
}

/** What a Content-Range header says of a body: which part of how much. */
export interface ContentRange {
  /** Undefined for a body that is empty and only asks how far the upload is. */
  span: ByteSpan | undefined;
  total: number;
}

/** Reads a Content-Range header of an upload; undefined when it is none that makes sense. */
export function parseContentRange(header: string): ContentRange | undefined {
  const asks = /^bytes \*\/(\d{1,15})$/.exec(header);
  if (asks !== null) return { span: undefined, total: Number(asks[1]) };
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header);
  if (match === null) return undefined;
  const [start, end, total] = [Number(match[1]), Number(match[2]) + 1, Number(match[3])];
  if (start >= end || end > total) return undefined;
  return { span: { start, end }, total };
}
