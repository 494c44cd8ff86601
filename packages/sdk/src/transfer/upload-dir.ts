import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, readFile, readlink, stat } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FileType, type TreeEntrySchema } from "@nullspace/proto/agent";
import type { AgentConnection } from "../connection.js";
import {
  type BatchFailure,
  BatchWriteError,
  FileUploadError,
  InvalidArgumentError,
  NullspaceError,
} from "../errors.js";
import { REATTACH_RETRIES } from "../retry.js";
import { Lanes } from "./lanes.js";
import { type LocalEntry, walkLocal } from "./local-tree.js";
import type { TransferDirResult, UploadDirOptions } from "./options.js";
import { uploadOpenFile } from "./upload-file.js";

type Entry = MessageInitShape<typeof TreeEntrySchema>;

/** Content and names in one message. */
const MESSAGE_BYTES = 384 << 10;

/** What an entry costs besides its content, roughly. */
const ENTRY_BYTES = 96;

/** Files up to this size are packed together; larger ones go by themselves. */
const PACKED_BYTES = 256 << 10;

/** Messages and larger files on their way at a time. */
const IN_FLIGHT = 4;

/** Reads of small files at a time. */
const READS = 32;

/** Failures that are told one by one. */
const MOST_FAILURES = 1000;

/** Uploads a local folder with all it holds. */
export async function uploadDir(
  agent: AgentConnection,
  localPath: string,
  path: string,
  options: UploadDirOptions,
): Promise<TransferDirResult> {
  if (!(await stat(localPath)).isDirectory()) {
    throw new InvalidArgumentError(`${localPath} is no folder`, { remedy: "Use uploadFile." });
  }
  const upload = new DirectoryUpload(agent, path, options);
  await upload.run(Buffer.from(localPath));
  return upload.result;
}

class DirectoryUpload {
  readonly result: TransferDirResult = {
    files: 0,
    directories: 0,
    links: 0,
    bytes: 0,
    skipped: [],
  };
  readonly #agent: AgentConnection;
  readonly #path: string;
  readonly #options: UploadDirOptions;
  readonly #lanes: Lanes;
  readonly #failures: BatchFailure[] = [];
  /** Permissions and times of folders, set when nothing is written into them any more. */
  readonly #folders: Entry[] = [];
  #entries: Entry[] = [];
  #bytes = 0;

  constructor(agent: AgentConnection, path: string, options: UploadDirOptions) {
    this.#agent = agent;
    this.#path = path;
    this.#options = options;
    this.#lanes = new Lanes(IN_FLIGHT, options.signal);
  }

  async run(root: Buffer): Promise<void> {
    try {
      // An empty folder is a folder, too.
      this.#add({ path: new Uint8Array(), type: FileType.DIRECTORY });
      let small: LocalEntry[] = [];
      for await (const entry of walkLocal(root, this.#options.filter ?? (() => true))) {
        if (entry.type === "file" && entry.stats.size <= PACKED_BYTES) {
          small.push(entry);
          if (small.length < READS) continue;
          await this.#packFiles(small);
          small = [];
        } else await this.#take(entry);
      }
      await this.#packFiles(small);
      await this.#flush();
      await this.#lanes.drain();
      for (const folder of this.#folders.toReversed()) {
        this.#add(folder);
        if (this.#bytes >= MESSAGE_BYTES) await this.#flushInOrder();
      }
      await this.#flushInOrder();
    } finally {
      await this.#lanes.cancel();
    }
    if (this.#failures.length > 0) throw new BatchWriteError([], this.#failures);
  }

  async #take({ file, below, type, stats }: LocalEntry): Promise<void> {
    const modifiedAt = timestampFromMs(Math.floor(stats.mtimeMs));
    switch (type) {
      case "directory":
        this.result.directories++;
        this.#folders.push({
          path: below,
          type: FileType.DIRECTORY,
          mode: stats.mode & 0o7777,
          modifiedAt,
        });
        return undefined;
      case "symlink": {
        const symlinkTarget = await readlink(file, { encoding: "buffer" });
        this.result.links++;
        this.#add({ path: below, type: FileType.SYMLINK, symlinkTarget, modifiedAt });
        break;
      }
      case "file":
        await this.#lanes.run(() => this.#uploadLarge({ file, below, type, stats }));
        return undefined;
      case "other":
        this.result.skipped.push(below.toString());
        return undefined;
    }
    if (this.#bytes >= MESSAGE_BYTES) await this.#flush();
  }

  async #packFiles(files: LocalEntry[]): Promise<void> {
    const contents = await Promise.all(files.map(({ file }) => readFile(file).catch(asError)));
    for (const [index, { below, stats }] of files.entries()) {
      const data = contents[index];
      if (data instanceof Error) this.#fail(below, data);
      else if (data !== undefined) {
        const modifiedAt = timestampFromMs(Math.floor(stats.mtimeMs));
        const mode = stats.mode & 0o7777;
        const size = BigInt(data.length);
        this.#add({ path: below, type: FileType.FILE, mode, modifiedAt, size, data, last: true });
      }
      if (this.#bytes >= MESSAGE_BYTES) await this.#flush();
    }
  }

  async #uploadLarge({ file, below, stats }: LocalEntry): Promise<void> {
    const call = { signal: this.#lanes.signal, requestTimeoutMs: this.#options.requestTimeoutMs };
    const target = {
      path: this.#path,
      below,
      mode: stats.mode & 0o7777,
      user: this.#options.user ?? "",
      modifiedAtMs: stats.mtimeMs,
    };
    await using local = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
    const onBytes = (bytes: number) => this.#progress(bytes, 0);
    try {
      await uploadOpenFile(this.#agent, local, target, call, onBytes);
    } catch (error) {
      // A folder is gone on with by uploading it again, not by one of its files.
      throw error instanceof FileUploadError ? error.cause : error;
    }
    this.#progress(0, 1);
  }

  #add(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += ENTRY_BYTES + (entry.path?.length ?? 0) + (entry.data?.length ?? 0);
  }

  #flush(): Promise<void> {
    const entries = this.#entries;
    this.#entries = [];
    this.#bytes = 0;
    return entries.length === 0 ? Promise.resolve() : this.#lanes.run(() => this.#send(entries));
  }

  /** Folders from the deepest up: one whose entries change has another time. */
  async #flushInOrder(): Promise<void> {
    await this.#flush();
    await this.#lanes.drain();
  }

  async #send(entries: Entry[]): Promise<void> {
    const hash = createHash("sha256");
    for (const { data } of entries) if (data !== undefined) hash.update(data);
    const user = this.#options.user ?? "";
    const request = { path: this.#path, entries, user, sha256: hash.digest() };
    const { requestTimeoutMs } = this.#options;
    const { failures } = await this.#agent.unary(
      { signal: this.#lanes.signal, requestTimeoutMs },
      (attempt) => this.#agent.files.writeTree(request, attempt),
      { idempotent: true, retries: REATTACH_RETRIES },
    );
    for (const { path, message, reason } of failures) {
      this.#fail(Buffer.from(path), new NullspaceError(message, { details: { reason } }));
    }
    const files = entries.filter(({ type }) => type === FileType.FILE);
    const bytes = files.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
    if (files.length > 0) this.#progress(bytes, files.length - failures.length);
  }

  #fail(below: Buffer, error: Error): void {
    if (this.#failures.length < MOST_FAILURES)
      this.#failures.push({ path: below.toString(), error });
  }

  #progress(bytes: number, files: number): void {
    this.result.bytes += bytes;
    this.result.files += files;
    const { result } = this;
    this.#options.onProgress?.({ bytes: result.bytes, totalBytes: undefined, files: result.files });
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
