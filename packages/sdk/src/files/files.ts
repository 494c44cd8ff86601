import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { NullspaceError } from "../errors.js";
import { type FileInfo, fromInfoMessage } from "./info.js";
import type {
  FileContent,
  ListFilesOptions,
  MakeDirOptions,
  ReadOptions,
  RemoveOptions,
  WriteOptions,
} from "./options.js";
import { readBytes, readStream, readText } from "./read.js";
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
   * Removes a file, a link, or with `recursive` a folder and all it holds.
   *
   * @throws NotFoundError `FILE_NOT_FOUND`
   * @throws ConflictError `DIRECTORY_NOT_EMPTY`
   */
  async remove(path: string, options: RemoveOptions = {}): Promise<void> {
    const request = { path, recursive: options.recursive ?? false };
    await this.#agent.unary(options, (attempt) => this.#agent.files.remove(request, attempt));
  }
}
