import type { CallOptions } from "../call.js";

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
