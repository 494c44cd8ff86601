import { downloadDir, downloadFile, uploadDir, uploadFile } from "#transfers";
import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { NullspaceError } from "../errors.js";
import type {
  DownloadDirOptions,
  DownloadFileOptions,
  DownloadFileResult,
  TransferDirResult,
  UploadDirOptions,
  UploadFileOptions,
  UploadFileResult,
} from "../transfer/options.js";
import { writeFiles } from "./batch.js";
import { type FileInfo, fromInfoMessage } from "./info.js";
import type {
  FileContent,
  FileToWrite,
  FindOptions,
  FindResult,
  ListFilesOptions,
  MakeDirOptions,
  ReadOptions,
  RemoveOptions,
  ReplaceOptions,
  ReplaceResult,
  SearchOptions,
  SearchResult,
  SetOwnerOptions,
  SetPermissionsOptions,
  WatchFilesOptions,
  WriteOptions,
} from "./options.js";
import { readBytes, readStream, readText } from "./read.js";
import { findFiles, replaceInFiles, searchFiles } from "./search.js";
import {
  createTransferUrl,
  type TransferUrl,
  type TransferUrlOptions,
  type UploadUrlOptions,
} from "./transfer-url.js";
import { FileWatch } from "./watch.js";
import { writeFile } from "./write.js";

/** The files of one machine. Relative paths start at its default working directory. */
export class Files {
  readonly #agent: AgentConnection;

  /** @internal */
  constructor(agent: AgentConnection) {
    this.#agent = agent;
  }

  /**
   * Reads a file as text, bytes or a stream.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   * @throws ConflictError `IS_DIRECTORY`
   * @throws InvalidArgumentError `INVALID_UTF8` when it is read as text and is none
   * @example
   * ```ts
   * const text = await machine.files.read("notes.md");
   * const bytes = await machine.files.read("/var/log/big.log", { format: "bytes", length: 4096 });
   * const stream = await machine.files.read("video.mp4", { format: "stream" });
   * ```
   */
  read(path: string, options?: ReadOptions<"text">): Promise<string>;
  read(path: string, options: ReadOptions<"bytes"> & { format: "bytes" }): Promise<Uint8Array>;
  read(
    path: string,
    options: ReadOptions<"stream"> & { format: "stream" },
  ): Promise<ReadableStream<Uint8Array>>;
  async read(
    path: string,
    options: ReadOptions = {},
  ): Promise<string | Uint8Array | ReadableStream<Uint8Array>> {
    if (options.format === "stream") return readStream(this.#agent, path, options);
    if (options.format === "bytes") return readBytes(this.#agent, path, options);
    return readText(this.#agent, path, options);
  }

  /**
   * Writes a file: atomically, whatever its size, and makes its parents. Of a
   * stream only a few parts of 512 KiB are held in memory. `requestTimeoutMs`
   * is for each call the write is made of.
   *
   * @throws ResourceExhaustedError `GUEST_DISK_FULL`
   * @throws ConflictError `IS_DIRECTORY`
   * @example
   * ```ts
   * await machine.files.write("hello.txt", "Hello\n");
   * await machine.files.write("data.bin", createReadStream("./data.bin"), { mode: 0o600 });
   * ```
   */
  write(path: string, content: FileContent, options: WriteOptions = {}): Promise<FileInfo> {
    return writeFile(this.#agent, path, content, options);
  }

  /**
   * Writes several files, some at a time, each of them as {@link write} does.
   *
   * @returns what is known of them, in their order.
   * @throws BatchWriteError that names those that were written and those that were not
   * @example
   * ```ts
   * await machine.files.writeFiles([
   *   { path: "src/main.ts", content: source },
   *   { path: "run.sh", content: script, mode: 0o755 },
   * ]);
   * ```
   */
  writeFiles(files: Iterable<FileToWrite>, options: WriteOptions = {}): Promise<FileInfo[]> {
    return writeFiles(this.#agent, files, options);
  }

  /**
   * Lists what is in a folder: parents before children, each folder's entries
   * sorted by name.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   * @throws ConflictError `NOT_DIRECTORY`
   */
  async list(path: string, options: ListFilesOptions = {}): Promise<FileInfo[]> {
    const entries: FileInfo[] = [];
    const request = { path, depth: options.depth ?? 0 };
    for await (const response of this.#agent.stream(options, (attempt) =>
      this.#agent.files.list(request, attempt),
    )) {
      for (const entry of response.entries) entries.push(fromInfoMessage(entry));
    }
    return entries;
  }

  /**
   * Tells about a file or folder. A symbolic link is described itself, not what it points to.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   */
  async info(path: string, options: CallOptions = {}): Promise<FileInfo> {
    const { info } = await this.#agent.unary(
      options,
      (attempt) => this.#agent.files.stat({ path }, attempt),
      { idempotent: true },
    );
    return fromInfoMessage(info);
  }

  /** Whether something is at this path. */
  async exists(path: string, options: CallOptions = {}): Promise<boolean> {
    try {
      await this.info(path, options);
      return true;
    } catch (error) {
      // A path that goes through a file, as /etc/hosts/x, names nothing either.
      const missing = ["FILE_NOT_FOUND", "NOT_DIRECTORY"];
      if (error instanceof NullspaceError && missing.includes(error.reason)) return false;
      throw error;
    }
  }

  /** Makes a folder and its parents; one that is there already is fine. */
  async makeDir(path: string, options: MakeDirOptions = {}): Promise<FileInfo> {
    const request = { path, mode: options.mode ?? 0, user: options.user ?? "" };
    const { info } = await this.#agent.unary(
      options,
      (attempt) => this.#agent.files.makeDir(request, attempt),
      { idempotent: true },
    );
    return fromInfoMessage(info);
  }

  /**
   * Renames or moves a file or folder; parents are made, a file at `to` is replaced.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   */
  async rename(from: string, to: string, options: CallOptions = {}): Promise<FileInfo> {
    const { info } = await this.#agent.unary(options, (attempt) =>
      this.#agent.files.rename({ from, to }, attempt),
    );
    return fromInfoMessage(info);
  }

  /**
   * Copies a file, a link, or a folder with all it holds, with owners, permission
   * bits and times. The copy appears at once, when it is complete; parents are
   * made, and a file at `to` is replaced.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   * @throws ConflictError `FILE_EXISTS` where a folder is at `to`
   */
  async copy(from: string, to: string, options: CallOptions = {}): Promise<FileInfo> {
    const { info } = await this.#agent.unary(options, (attempt) =>
      this.#agent.files.copy({ from, to }, attempt),
    );
    return fromInfoMessage(info);
  }

  /**
   * Sets the permission bits of a file or folder, as `0o644`. A link is followed.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   */
  async setPermissions(
    path: string,
    mode: number,
    options: SetPermissionsOptions = {},
  ): Promise<FileInfo> {
    const request = { path, mode, recursive: options.recursive ?? false };
    const { info } = await this.#agent.unary(
      options,
      (attempt) => this.#agent.files.setPermissions(request, attempt),
      { idempotent: true },
    );
    return fromInfoMessage(info);
  }

  /**
   * Gives a file or folder to a user, by name or number. A link is followed.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   * @throws InvalidArgumentError for a user or group that the machine does not have
   */
  async setOwner(path: string, user: string, options: SetOwnerOptions = {}): Promise<FileInfo> {
    const { group = "", recursive = false } = options;
    const { info } = await this.#agent.unary(
      options,
      (attempt) => this.#agent.files.setOwner({ path, user, group, recursive }, attempt),
      { idempotent: true },
    );
    return fromInfoMessage(info);
  }

  /**
   * Removes a file, a link, or with `recursive` a folder and all it holds.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   * @throws ConflictError `DIRECTORY_NOT_EMPTY`
   */
  async remove(path: string, options: RemoveOptions = {}): Promise<void> {
    const request = { path, recursive: options.recursive ?? false };
    await this.#agent.unary(options, (attempt) => this.#agent.files.remove(request, attempt));
  }

  /**
   * Finds files and folders by their names. A glob without `/` matches names at
   * any depth, one with `/` paths below the folder. Links are not followed.
   *
   * @throws InvalidArgumentError `INVALID_PATTERN`
   * @example
   * ```ts
   * const { entries, truncated } = await machine.files.find("src", "*.{ts,tsx}");
   * ```
   */
  find(path: string, glob: string, options: FindOptions = {}): Promise<FindResult> {
    return findFiles(this.#agent, path, glob, options);
  }

  /**
   * Searches the contents of files, by the machine's ripgrep: its rules about
   * hidden, ignored and binary files hold.
   *
   * @throws InvalidArgumentError `INVALID_PATTERN`
   * @throws ConflictError `SEARCH_UNAVAILABLE` where the template has no ripgrep
   * @example
   * ```ts
   * const { matches } = await machine.files.search("TODO", { path: "src", globs: ["*.ts"] });
   * for (const { path, lineNumber, line } of matches) console.log(`${path}:${lineNumber}: ${line}`);
   * ```
   */
  search(pattern: string, options: SearchOptions = {}): Promise<SearchResult> {
    return searchFiles(this.#agent, pattern, options);
  }

  /**
   * Replaces text in files, each of them atomically. With `regex`, `$1` and
   * `${name}` in the replacement stand for groups; else it is taken literally.
   *
   * @returns what was changed, or with `dryRun` what would be.
   * @throws BatchWriteError that names the files that could not be changed
   * @throws InvalidArgumentError `INVALID_PATTERN`
   * @example
   * ```ts
   * const { files } = await machine.files.replace("oldName", "newName", { path: "src", dryRun: true });
   * ```
   */
  replace(
    pattern: string,
    replacement: string,
    options: ReplaceOptions = {},
  ): Promise<ReplaceResult> {
    return replaceInFiles(this.#agent, pattern, replacement, options);
  }

  /**
   * Watches a file or a folder. The watch begins at once; see {@link FileWatch}
   * for its end, and for what a slow reader and a lost connection mean.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`, from the loop or `ready`
   * @throws ResourceExhaustedError `WATCH_LIMIT_REACHED`
   * @example
   * ```ts
   * for await (const event of machine.files.watch("src", { recursive: true })) {
   *   if (event.type === "resyncRequired") await readEverythingAnew();
   *   else console.log(event.type, event.path);
   * }
   * ```
   */
  watch(path: string, options: WatchFilesOptions = {}): FileWatch {
    return new FileWatch(this.#agent, path, options);
  }

  /**
   * Uploads a local file (Node.js, Bun, Deno): in parts, several at a time, with
   * its permission bits and time, checked by SHA-256. It appears at once, when
   * it is complete. Short losses of the connection are waited out.
   *
   * @throws FileUploadError after a longer one; its `uploadId` goes on where it was
   * @throws ResourceExhaustedError `GUEST_DISK_FULL`
   */
  uploadFile(
    localPath: string,
    path: string,
    options: UploadFileOptions = {},
  ): Promise<UploadFileResult> {
    return uploadFile(this.#agent, localPath, path, options);
  }

  /**
   * Uploads what a local folder holds (Node.js, Bun, Deno) into a folder of the
   * machine, which is made: files, empty folders and links, with permission bits
   * and times, whatever their names. Small files travel packed together. What is
   * in the machine already is replaced; nothing is removed.
   *
   * @throws BatchWriteError that names the files that could not be written
   */
  uploadDir(
    localPath: string,
    path: string,
    options: UploadDirOptions = {},
  ): Promise<TransferDirResult> {
    return uploadDir(this.#agent, localPath, path, options);
  }

  /**
   * Downloads a file (Node.js, Bun, Deno), checked by SHA-256, with its
   * permission bits (but set-user-id and its like) and time. It appears at
   * `localPath` at once, when it is complete; what an interrupted call has
   * brought lies beside it, and the next one goes on there.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   * @throws ConflictError `FILE_CHANGED` when the file is another after a loss of the connection
   */
  downloadFile(
    path: string,
    localPath: string,
    options: DownloadFileOptions = {},
  ): Promise<DownloadFileResult> {
    return downloadFile(this.#agent, path, localPath, options);
  }

  /**
   * Downloads what a folder holds (Node.js, Bun, Deno) into a local folder,
   * which is made, as {@link uploadDir} does in the other direction. The machine
   * is not trusted: nothing is written outside of the local folder.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   * @throws ConflictError `NOT_DIRECTORY`
   */
  downloadDir(
    path: string,
    localPath: string,
    options: DownloadDirOptions = {},
  ): Promise<TransferDirResult> {
    return downloadDir(this.#agent, path, localPath, options);
  }

  /**
   * Makes a URL that takes one file into the machine, for whoever has it: by
   * `PUT` with the bytes, in one request or in pieces with `Content-Range`, or by
   * `POST` of a form with the field `file`. It works for this path alone, until it
   * expires. The file appears at once, when it is complete; parents are made.
   *
   * @param options `expiresInSeconds` from 60 to 86400, an hour when not given.
   * @throws ConflictError `MACHINE_NOT_RUNNING`
   * @example
   * ```ts
   * const { url, method } = await machine.files.uploadUrl("data.csv", { expiresInSeconds: 600 });
   * await fetch(url, { method, body: "a,b\n1,2\n" });
   * ```
   */
  uploadUrl(path: string, options: UploadUrlOptions = {}): Promise<TransferUrl> {
    return createTransferUrl(this.#agent, "upload", path, options);
  }

  /**
   * Makes a URL that gives one file of the machine, by `GET` and `HEAD` with
   * ranges and conditions, to whoever has it, until it expires.
   *
   * @param options `expiresInSeconds` from 60 to 86400, an hour when not given.
   * @throws ConflictError `MACHINE_NOT_RUNNING`
   * @example
   * ```ts
   * const { url } = await machine.files.downloadUrl("report.pdf");
   * console.log(`curl -OJ '${url}'`);
   * ```
   */
  downloadUrl(path: string, options: TransferUrlOptions = {}): Promise<TransferUrl> {
    return createTransferUrl(this.#agent, "download", path, options);
  }
}
