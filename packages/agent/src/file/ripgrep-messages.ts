/** A line with matches, as `rg --json` tells of it. */
export interface MatchMessage {
  path: Buffer;
  line: Buffer;
  lineNumber: number;
  /** In bytes of the line. */
  ranges: { start: number; end: number }[];
}

/** The end of a file that was searched, as `rg --json` tells of it. */
export interface EndMessage {
  path: Buffer;
  /** It holds NUL bytes. */
  isBinary: boolean;
  matches: number;
}

/** What a line of `rg --json` says, as far as it is wanted. */
export type RipgrepMessage =
  | { type: "match"; data: MatchMessage }
  | { type: "end"; data: EndMessage }
  | undefined;

/** Parses a line of `rg --json`; nothing for what is of no interest. */
export function parseMessage(line: Buffer): RipgrepMessage {
  const message: unknown = JSON.parse(line.toString());
  const data = field(message, "data");
  switch (field(message, "type")) {
    case "match":
      return {
        type: "match",
        data: {
          path: bytesOf(field(data, "path")),
          line: bytesOf(field(data, "lines")),
          lineNumber: numberOf(field(data, "line_number")),
          ranges: listOf(field(data, "submatches")).map((range) => ({
            start: numberOf(field(range, "start")),
            end: numberOf(field(range, "end")),
          })),
        },
      };
    case "end":
      return {
        type: "end",
        data: {
          path: bytesOf(field(data, "path")),
          isBinary: typeof field(data, "binary_offset") === "number",
          matches: numberOf(field(field(data, "stats"), "matches")),
        },
      };
    default:
      return undefined;
  }
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  const found: unknown = Reflect.get(value, name);
  return found;
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Text is told as it is, all else in base64. */
function bytesOf(value: unknown): Buffer {
  const text = field(value, "text");
  if (typeof text === "string") return Buffer.from(text);
  const bytes = field(value, "bytes");
  return typeof bytes === "string" ? Buffer.from(bytes, "base64") : Buffer.alloc(0);
}
