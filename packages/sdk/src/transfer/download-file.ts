import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { InternalError, NullspaceError, UnavailableError } from "../errors.js";
import { type FileInfo, fromInfoMessage } from "../files/info.js";
import { resumeStream } from "../resume.js";
import type { DownloadFileOptions, DownloadFileResult } from "./options.js";

/** Of a file that comes from a machine: nobody becomes another by running it. */
const KEPT_MODE = 0o777;

/** Downloads a file. */
export async function downloadFile(
  agent: AgentConnection,
  path: string,
  localPath: string,
  options: DownloadFileOptions,
): Promise<DownloadFileResult> {
  await mkdir(dirname(resolve(localPath)), { recursive: true });
  const download = new FileDownload(agent, path, localPath, options);
  return download.run();
}

/**
 * The file grows beside its place. It holds nothing but bytes whose checksum
 * is right, so whatever ends a download, the next one goes on at its end.
 */
class FileDownload {
  readonly #agent: AgentConnection;
  readonly #path: string;
  readonly #localPath: string;
  readonly #options: DownloadFileOptions;
  #info: FileInfo | undefined;
  #version = "";
  #partial: FileHandle | undefined;
  #partialPath = "";
  #position = 0;
  #resumedAt = 0;

  constructor(
    agent: AgentConnection,
    path: string,
    localPath: string,
    options: DownloadFileOptions,
  ) {
    this.#agent = agent;
    this.#path = path;
    this.#localPath = localPath;
    this.#options = options;
  }

  async run(): Promise<DownloadFileResult> {
    try {
      await this.#receive();
      return await this.#finish();
    } catch (error) {
      await this.#partial?.close();
      // What has come of another version, or is nothing yet, is of no use.
      const isUseless = error instanceof NullspaceError && error.reason === "FILE_CHANGED";
      const isEmpty = this.#partial !== undefined && this.#position === 0;
      if (isUseless || isEmpty) await rm(this.#partialPath, { force: true });
      throw error;
    }
  }

  async #receive(): Promise<void> {
    let block: Uint8Array[] = [];
    let hash = createHash("sha256");
    const attach = (options: CallOptions) => {
      block = [];
      hash = createHash("sha256");
      return this.#read(options);
    };
    const stream = resumeStream(this.#options, attach, () => this.#info !== undefined);
    for await (const part of stream) {
      if (part.case === "data") {
        block.push(part.value);
        hash.update(part.value);
      } else if (part.case === "checksum") {
        if (!hash.digest().equals(part.value.sha256)) throw damaged(this.#path);
        await this.#write(block);
        block = [];
        hash = createHash("sha256");
      }
    }
  }

  /** One attachment: from where we are to the end of the file. */
  async *#read(options: CallOptions) {
    const ask = () =>
      this.#agent.stream(options, (attempt) => {
        const request = { path: this.#path, offset: BigInt(this.#position), checksums: true };
        return this.#agent.files.read({ ...request, ifVersion: this.#version }, attempt);
      });
    for await (const { part } of ask()) {
      if (part.case !== "info") {
        yield part;
        continue;
      }
      if (this.#info !== undefined) continue;
      this.#info = fromInfoMessage(part.value);
      this.#version = part.value.version;
      await this.#openPartial();
      if (this.#position === 0) continue;
      // Some of it is here already: asked anew, for the rest.
      for await (const { part: rest } of ask()) if (rest.case !== "info") yield rest;
      return;
    }
  }

  async #openPartial(): Promise<void> {
    const about = JSON.stringify([this.#agent.machineId, this.#path, this.#version]);
    const name = createHash("sha256").update(about).digest("hex").slice(0, 16);
    this.#partialPath = `${this.#localPath}.${name}.nullspace-part`;
    if (this.#options.resume === false) await rm(this.#partialPath, { force: true });
    this.#partial = await open(this.#partialPath, "a", 0o600);
    this.#position = (await this.#partial.stat()).size;
    this.#resumedAt = this.#position;
  }

  async #write(block: Uint8Array[]): Promise<void> {
    if (this.#partial === undefined)
      throw new InternalError("the machine sent a file without its info");
    for (const data of block) {
      await this.#partial.appendFile(data);
      this.#position += data.length;
    }
    this.#tell(0);
  }

  async #finish(): Promise<DownloadFileResult> {
    const [info, partial] = [this.#info, this.#partial];
    if (info === undefined || partial === undefined) {
      throw new InternalError("the machine sent no file");
    }
    await partial.chmod(info.mode & KEPT_MODE);
    await partial.utimes(info.modifiedAt, info.modifiedAt);
    await partial.close();
    this.#partial = undefined;
    await rename(this.#partialPath, this.#localPath);
    this.#tell(1);
    return { info, bytes: this.#position, resumedAt: this.#resumedAt };
  }

  #tell(files: number): void {
    const totalBytes = this.#info?.size;
    this.#options.onProgress?.({ bytes: this.#position, totalBytes, files });
  }
}

/** What is read again, from the last byte that is known to be right. */
export function damaged(path: string): UnavailableError {
  return new UnavailableError(`${path} was damaged on its way`, {
    reason: "CHECKSUM_MISMATCH",
    retryable: true,
  });
}
