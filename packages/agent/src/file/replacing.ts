import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import type { ReplaceResponseSchema, SearchPattern, SearchScope } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { User } from "../guest/users.js";
import type { ProcessTable } from "../process/process-table.js";
import { type Anchor, Spot } from "./anchor.js";
import { fileFault } from "./file-fault.js";
import { splitBelow } from "./names.js";
import { Replacement } from "./replacement.js";
import { patternArguments, ripgrep, scopeArguments, type SearchRoot } from "./ripgrep.js";
import { type EndMessage, parseMessage } from "./ripgrep-messages.js";
import { Splitter } from "./splitter.js";

type Response = MessageInitShape<typeof ReplaceResponseSchema>;

/** Longest line of ripgrep's that is looked at; its summaries of files are short. */
const MOST_MESSAGE = 64 << 10;

/** Largest file in which text is replaced: it is held in memory, twice. */
const MOST_BYTES = 64 << 20;

const NEWLINE = 0x0a;

const OPEN = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** What is replaced, and by what. */
export interface ReplaceOptions {
  scope: SearchScope;
  pattern: SearchPattern;
  replacement: string;
  dryRun: boolean;
}

/**
 * Replaces what matches in every file of a scope, and tells of each file that
 * has matches. A file is replaced atomically and keeps its owner and permission
 * bits; files with NUL bytes are left alone.
 *
 * @throws Fault INVALID_PATTERN, SEARCH_UNAVAILABLE.
 */
export async function* replace(
  table: ProcessTable,
  root: SearchRoot,
  options: ReplaceOptions,
  user: User,
  signal: AbortSignal,
): AsyncGenerator<Response> {
  // All files first: one that has been replaced must not be found again.
  const files: EndMessage[] = [];
  for await (const file of filesWithMatches(table, root, options, signal)) files.push(file);
  for (const { path, matches } of files) {
    signal.throwIfAborted();
    const called = root.called(path);
    const response = {
      path: called.path,
      ...(called.rawPath && { rawPath: called.rawPath }),
      replacements: BigInt(matches),
    };
    if (options.dryRun) {
      yield response;
      continue;
    }
    try {
      const replacements = await replaceIn(
        table,
        openFile(root, path, called.path),
        options,
        user,
        signal,
      );
      yield { ...response, replacements: BigInt(replacements ?? matches) };
    } catch (error) {
      const fault = fileFault(error, called.path);
      if (!(fault instanceof Fault)) throw error;
      yield { ...response, replacements: 0n, failure: fault.message };
    }
  }
}

async function* filesWithMatches(
  table: ProcessTable,
  root: SearchRoot,
  { scope, pattern }: ReplaceOptions,
  signal: AbortSignal,
): AsyncGenerator<EndMessage> {
  const args = [
    "--json",
    "--sort",
    "path",
    "--encoding",
    "none",
    ...scopeArguments(scope, root.except),
    ...patternArguments(pattern),
    "--",
    root.argument,
  ];
  const splitter = new Splitter(NEWLINE, MOST_MESSAGE);
  for await (const piece of ripgrep(table, root.folder.foreignPath, args, signal)) {
    for (const line of splitter.push(piece)) {
      const message = parseMessage(line);
      if (message?.type !== "end" || message.data.isBinary || message.data.matches === 0) continue;
      yield message.data;
    }
  }
}

function openFile(root: SearchRoot, path: Buffer, called: string): Spot {
  const names = splitBelow(root.below(path));
  const name = names.pop() ?? Buffer.from(".");
  let folder: Anchor = root.folder.descend(".");
  for (const next of names) {
    using parent = folder;
    folder = parent.descend(next);
  }
  return new Spot(folder, name, called);
}

/** Says how many there were, where it counts them itself. */
async function replaceIn(
  table: ProcessTable,
  spot: Spot,
  options: ReplaceOptions,
  user: User,
  signal: AbortSignal,
): Promise<number | undefined> {
  await using replacement = await Replacement.begin(spot);
  await using source = await open(spot.file, OPEN);
  const { size } = await source.stat();
  const { regex, ignoreCase, text } = options.pattern;
  let count: number | undefined;
  if (regex || ignoreCase) {
    await rewriteByRipgrep(table, source, size, replacement, options, signal);
  } else {
    if (size > MOST_BYTES) throw tooLarge(spot.path);
    const { data, occurrences } = replaceLiterally(
      await source.readFile(),
      Buffer.from(text),
      Buffer.from(options.replacement),
    );
    count = occurrences;
    await replacement.write(data, 0);
  }
  await replacement.commit({ user, mode: 0 });
  return count;
}

function replaceLiterally(content: Buffer, text: Buffer, by: Buffer) {
  const pieces: Buffer[] = [];
  let occurrences = 0;
  let start = 0;
  for (let at = content.indexOf(text); at >= 0; at = content.indexOf(text, start)) {
    pieces.push(content.subarray(start, at), by);
    occurrences++;
    start = at + text.length;
  }
  pieces.push(content.subarray(start));
  return { data: Buffer.concat(pieces), occurrences };
}

/** Lets ripgrep print the whole file with its matches replaced: its dialect and its groups hold. */
async function rewriteByRipgrep(
  table: ProcessTable,
  source: FileHandle,
  size: number,
  replacement: Replacement,
  { pattern, replacement: by }: ReplaceOptions,
  signal: AbortSignal,
): Promise<void> {
  const args = [
    "--passthru",
    "--no-line-number",
    "--no-filename",
    "--no-heading",
    "--color",
    "never",
    "--text",
    "--encoding",
    "none",
    "--replace",
    pattern.regex ? by : by.replaceAll("$", "$$$$"),
    ...patternArguments(pattern),
    "--",
    `/proc/${process.pid}/fd/${source.fd}`,
  ];
  let offset = 0;
  for await (const piece of ripgrep(table, "/", args, signal)) {
    await replacement.write(piece, offset);
    offset += piece.length;
  }
  // It ends every line, the last one included, which may have had no end.
  const last = Buffer.alloc(1);
  const { bytesRead } = await source.read(last, 0, 1, size - 1);
  if (bytesRead === 1 && last[0] !== NEWLINE) await replacement.truncate(offset - 1);
}

function tooLarge(path: string): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, `${path} has more than ${MOST_BYTES} bytes`, {
    remedy: "Change it with a command, as sed.",
    details: { path },
  });
}
