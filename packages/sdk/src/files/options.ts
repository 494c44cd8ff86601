import type { CallOptions } from "../call.js";
import type { FileInfo, FileType } from "./info.js";

/** How {@link Files.read} gives a file. */
export type ReadFormat = "text" | "bytes" | "stream";

/** What {@link Files.read} takes. */
export interface ReadOptions<F extends ReadFormat = ReadFormat> extends CallOptions {
  /** `"text"` when not given. */
  format?: F | undefined;
  /** First byte to read; 0 when not given. */
  offset?: number | undefined;
  /** Bytes to read; to the end when not given. */
  length?: number | undefined;
}

/** What {@link Files.write} writes. Strings are written as UTF-8. */
export type FileContent =
  | string
  | Uint8Array
  | ArrayBuffer
  | Blob
  | AsyncIterable<string | Uint8Array>
  | ReadableStream<Uint8Array>;

/** What {@link Files.write} takes. */
export interface WriteOptions extends CallOptions {
  /** Permission bits of a new file; `0o644` when not given. A file that is replaced keeps its own. */
  mode?: number | undefined;
  /** Owner of a new file and of parents that are made; `user` when not given. */
  user?: string | undefined;
}

/** What {@link Files.makeDir} takes. */
export interface MakeDirOptions extends CallOptions {
  /** Permission bits; `0o755` when not given. */
  mode?: number | undefined;
  /** Owner; `user` when not given. */
  user?: string | undefined;
}

/** What {@link Files.list} takes. */
export interface ListFilesOptions extends CallOptions {
  /** Levels below the folder; 1, the folder's own entries, when not given. */
  depth?: number | undefined;
}

/** What {@link Files.remove} takes. */
export interface RemoveOptions extends CallOptions {
  /** Remove a folder with all it holds. */
  recursive?: boolean | undefined;
}

/** One file of {@link Files.writeFiles}. */
export interface FileToWrite {
  path: string;
  content: FileContent;
  /** Permission bits of a new file; those of the call when not given. */
  mode?: number | undefined;
}

/** What {@link Files.setPermissions} takes. */
export interface SetPermissionsOptions extends CallOptions {
  /** All that a folder holds, too; links in it are left alone. */
  recursive?: boolean | undefined;
}

/** What {@link Files.setOwner} takes. */
export interface SetOwnerOptions extends CallOptions {
  /** Group by name or number; the user's own when not given. */
  group?: string | undefined;
  /** All that a folder holds, too, links included. */
  recursive?: boolean | undefined;
}

/** What {@link Files.find} takes. */
export interface FindOptions extends CallOptions {
  /** Only of this type; any when not given. */
  type?: FileType | undefined;
  /** Most entries to give; 1000 when not given. */
  limit?: number | undefined;
}

/** What {@link Files.find} found. */
export interface FindResult {
  entries: FileInfo[];
  /** There are more than `limit`. */
  truncated: boolean;
}

/** Where {@link Files.search} and {@link Files.replace} look, and how. */
export interface PatternOptions extends CallOptions {
  /** A folder or one file; the default working directory when not given. */
  path?: string | undefined;
  /** The pattern is a regular expression, in the dialect of ripgrep; taken literally when not given. */
  regex?: boolean | undefined;
  ignoreCase?: boolean | undefined;
  /** Only files whose path below the folder matches one of these; `!` in front excludes. */
  globs?: readonly string[] | undefined;
  /** Files and folders whose name begins with a dot, too. */
  hidden?: boolean | undefined;
  /** What `.gitignore` and its like exclude, too. */
  ignored?: boolean | undefined;
}

/** What {@link Files.search} takes. */
export interface SearchOptions extends PatternOptions {
  /** Most lines to give; 1000 when not given. */
  limit?: number | undefined;
}

/** A line in which the pattern was found. */
export interface SearchMatch {
  /** Absolute. */
  path: string;
  /** From 1. */
  lineNumber: number;
  /** Without its end; at most 4 KiB of it. */
  line: string;
  /** Where in `line`, as its `slice` takes it. */
  ranges: { start: number; end: number }[];
  /** The line is longer than `line`. */
  lineTruncated: boolean;
}

/** What {@link Files.search} found. */
export interface SearchResult {
  /** In the order of their paths and lines. */
  matches: SearchMatch[];
  /** There may be more than `limit`. */
  truncated: boolean;
  /** Lines that were too long to be looked at, over a MiB. */
  skippedLines: number;
}

/** What {@link Files.replace} takes. */
export interface ReplaceOptions extends PatternOptions {
  /** Tell what would be changed, and change nothing. */
  dryRun?: boolean | undefined;
}

/** What {@link Files.replace} changed, or would change. */
export interface ReplaceResult {
  files: { path: string; replacements: number }[];
  /** Of all files together. */
  replacements: number;
}

/** What {@link Files.watch} takes. */
export interface WatchFilesOptions extends CallOptions {
  /** All folders below, too, those that appear later included. */
  recursive?: boolean | undefined;
}

/** What happened to a watched file or folder. */
export type FileEvent =
  | { type: "created" | "modified" | "removed"; path: string; isDirectory: boolean }
  | { type: "renamed"; path: string; oldPath: string; isDirectory: boolean }
  /** Events were lost: look anew at what is there. */
  | { type: "resyncRequired" };
