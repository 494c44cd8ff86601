import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  SearchMatchSchema,
  SearchPattern,
  SearchResponseSchema,
  SearchScope,
} from "@nullspace/proto/agent";
import type { ProcessTable } from "../process/process-table.js";
import { patternArguments, ripgrep, scopeArguments, type SearchRoot } from "./ripgrep.js";
import { type MatchMessage, parseMessage } from "./ripgrep-messages.js";
import { Splitter } from "./splitter.js";

type Response = MessageInitShape<typeof SearchResponseSchema>;
type Match = MessageInitShape<typeof SearchMatchSchema>;

/** Lines in one message. */
const BATCH = 64;

/** What is sent of a line. */
const MOST_LINE = 4 << 10;

/** Longest line of ripgrep's that is looked at. */
const MOST_MESSAGE = 1 << 20;

const NEWLINE = 0x0a;

/** What is searched for, and how much of it is wanted. */
export interface SearchOptions {
  scope: SearchScope;
  pattern: SearchPattern;
  limit: number;
}

/**
 * Searches the contents of files, in the order of their paths, and ends with a
 * summary. It stops as soon as there is more than the limit.
 *
 * @throws Fault INVALID_PATTERN, SEARCH_UNAVAILABLE.
 */
export async function* search(
  table: ProcessTable,
  root: SearchRoot,
  { scope, pattern, limit }: SearchOptions,
  signal: AbortSignal,
): AsyncGenerator<Response> {
  const args = [
    "--json",
    "--sort",
    "path",
    ...scopeArguments(scope, root.except),
    ...patternArguments(pattern),
    "--",
    root.argument,
  ];
  const splitter = new Splitter(NEWLINE, MOST_MESSAGE);
  let matches: Match[] = [];
  let count = 0;
  let truncated = false;
  search: for await (const piece of ripgrep(table, root.folder.foreignPath, args, signal)) {
    for (const line of splitter.push(piece)) {
      const message = parseMessage(line);
      if (message?.type !== "match") continue;
      truncated = count === limit;
      if (truncated) break search;
      count++;
      matches.push(toMatch(root, message.data));
    }
    if (matches.length < BATCH) continue;
    yield { matches };
    matches = [];
  }
  const summary = {
    matches: BigInt(count),
    truncated,
    skippedLines: BigInt(splitter.skipped),
  };
  yield { matches, summary };
}

function toMatch(root: SearchRoot, message: MatchMessage): Match {
  const { path, rawPath } = root.called(message.path);
  const end = message.line.at(-1) === NEWLINE ? message.line.length - 1 : message.line.length;
  const line = message.line.subarray(0, Math.min(end, MOST_LINE));
  const ranges = message.ranges
    .filter((range) => range.end <= line.length)
    .map((range) => ({ start: BigInt(range.start), end: BigInt(range.end) }));
  return {
    path,
    ...(rawPath && { rawPath }),
    lineNumber: BigInt(message.lineNumber),
    line,
    ranges,
    lineTruncated: end > MOST_LINE,
  };
}
