import type { SearchMatch as MatchMessage } from "@nullspace/proto/agent";
import { FileType as TypeMessage } from "@nullspace/proto/agent";
import type { AgentConnection } from "../connection.js";
import { BatchWriteError, type BatchFailure, InternalError } from "../errors.js";
import { fromInfoMessage, TYPES } from "./info.js";
import type {
  FindOptions,
  FindResult,
  PatternOptions,
  ReplaceOptions,
  ReplaceResult,
  SearchMatch,
  SearchOptions,
  SearchResult,
} from "./options.js";

/** What lies below a folder and bears a matching name. */
export async function findFiles(
  agent: AgentConnection,
  path: string,
  glob: string,
  options: FindOptions,
): Promise<FindResult> {
  const type = typeNumber(options.type);
  const result: FindResult = { entries: [], truncated: false };
  for await (const { entries, truncated } of agent.stream(options, (attempt) =>
    agent.files.find({ path, glob, type, limit: options.limit ?? 0 }, attempt),
  )) {
    for (const entry of entries) result.entries.push(fromInfoMessage(entry));
    result.truncated = truncated;
  }
  return result;
}

/** Lines that match. */
export async function searchFiles(
  agent: AgentConnection,
  pattern: string,
  options: SearchOptions,
): Promise<SearchResult> {
  const request = { ...patternRequest(pattern, options), limit: options.limit ?? 0 };
  const found: SearchMatch[] = [];
  for await (const { matches, summary } of agent.stream(options, (attempt) =>
    agent.files.search(request, attempt),
  )) {
    for (const match of matches) found.push(fromMatchMessage(match));
    if (summary === undefined) continue;
    const { truncated, skippedLines } = summary;
    return { matches: found, truncated, skippedLines: Number(skippedLines) };
  }
  throw new InternalError("the search ended without its summary");
}

/** Replaces what matches. */
export async function replaceInFiles(
  agent: AgentConnection,
  pattern: string,
  replacement: string,
  options: ReplaceOptions,
): Promise<ReplaceResult> {
  const dryRun = options.dryRun ?? false;
  const request = { ...patternRequest(pattern, options), replacement, dryRun };
  const result: ReplaceResult = { files: [], replacements: 0 };
  const failures: BatchFailure[] = [];
  for await (const { path, replacements, failure } of agent.stream(options, (attempt) =>
    agent.files.replace(request, attempt),
  )) {
    if (failure !== "") {
      failures.push({ path, error: new Error(failure) });
      continue;
    }
    const count = Number(replacements);
    result.files.push({ path, replacements: count });
    result.replacements += count;
  }
  if (failures.length === 0) return result;
  throw new BatchWriteError(
    result.files.map(({ path }) => path),
    failures,
  );
}

function patternRequest(text: string, options: PatternOptions) {
  const { path = ".", globs = [], hidden = false, ignored = false } = options;
  const { regex = false, ignoreCase = false } = options;
  return {
    scope: { path, globs: [...globs], hidden, ignored },
    pattern: { text, regex, ignoreCase },
  };
}

function typeNumber(type: FindOptions["type"]): TypeMessage {
  const values = [TypeMessage.FILE, TypeMessage.DIRECTORY, TypeMessage.SYMLINK, TypeMessage.OTHER];
  return values.find((value) => TYPES[value] === type) ?? TypeMessage.UNSPECIFIED;
}

function fromMatchMessage(match: MatchMessage): SearchMatch {
  const decode = (end: bigint) =>
    new TextDecoder("utf-8", { ignoreBOM: true }).decode(match.line.subarray(0, Number(end)))
      .length;
  return {
    path: match.path,
    lineNumber: Number(match.lineNumber),
    line: new TextDecoder("utf-8", { ignoreBOM: true }).decode(match.line),
    ranges: match.ranges.map(({ start, end }) => ({ start: decode(start), end: decode(end) })),
    lineTruncated: match.lineTruncated,
  };
}
