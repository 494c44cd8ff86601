import { mkdtempSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import {
  type FileInfo,
  FileInfoSchema,
  type FileService,
  FileType,
  type ListRequest,
  type ReadRequest,
  type RemoveRequest,
  type UploadPartRequest,
  type WriteRequest,
} from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";

const CHUNK_BYTES = 64 * 1024;

/** FileService over a folder of this computer, which stands for the guest's root. */
export class FakeFiles implements Partial<ServiceImpl<typeof FileService>>, AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), "nullspace-fake-"));
  /** Uploads that were begun and neither committed nor aborted, by id. */
  readonly uploads = new Map<string, { path: string; bytes: number }>();
  /** Sizes of the parts that came. */
  readonly partSizes: number[] = [];
  /** Reads whose call was cancelled. */
  cancelledReads = 0;
  #uploadCount = 0;

  read = async function* (this: FakeFiles, request: ReadRequest, context: HandlerContext) {
    const info = await this.#info(request.path);
    if (info.type === FileType.DIRECTORY) {
      throw new Fault(ErrorReason.IS_DIRECTORY, `${request.path} is a folder`);
    }
    yield { part: { case: "info" as const, value: info } };
    await using file = await open(this.#path(request.path));
    const end = request.length === undefined ? info.size : request.offset + request.length;
    let at = Number(request.offset);
    try {
      while (at < Number(end) && !context.signal.aborted) {
        const length = Math.min(CHUNK_BYTES, Number(end) - at);
        const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, at);
        if (bytesRead === 0) return;
        at += bytesRead;
        yield { part: { case: "data" as const, value: buffer.subarray(0, bytesRead) } };
      }
    } finally {
      if (at < Number(end)) this.cancelledReads++;
    }
  }.bind(this);

  write = async (request: WriteRequest) => {
    const path = this.#path(request.path);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, request.data);
    return { info: await this.#info(request.path) };
  };

  beginUpload = async ({ path }: { path: string }) => {
    const uploadId = `u${++this.#uploadCount}`;
    this.uploads.set(uploadId, { path, bytes: 0 });
    await writeFile(this.#path(uploadId), "");
    return { uploadId };
  };

  uploadPart = async (request: UploadPartRequest) => {
    const upload = this.#upload(request.uploadId);
    this.partSizes.push(request.data.length);
    await using file = await open(this.#path(request.uploadId), "r+");
    await file.write(request.data, 0, request.data.length, Number(request.offset));
    upload.bytes += request.data.length;
    return {};
  };

  commitUpload = async ({ uploadId, size }: { uploadId: string; size: bigint }) => {
    const upload = this.#upload(uploadId);
    if (BigInt(upload.bytes) !== size) {
      throw new Fault(ErrorReason.UPLOAD_INCOMPLETE, `${upload.bytes} of ${size} bytes arrived`);
    }
    const path = this.#path(upload.path);
    await mkdir(dirname(path), { recursive: true });
    await rename(this.#path(uploadId), path);
    this.uploads.delete(uploadId);
    return { info: await this.#info(upload.path) };
  };

  abortUpload = async ({ uploadId }: { uploadId: string }) => {
    this.uploads.delete(uploadId);
    await rm(this.#path(uploadId), { force: true });
    return {};
  };

  list = async function* (this: FakeFiles, request: ListRequest) {
    const names = await readdir(this.#path(request.path)).catch(() => this.#missing(request.path));
    names.sort();
    for (const name of names) yield { entries: [await this.#info(join(request.path, name))] };
  }.bind(this);

  stat = async ({ path }: { path: string }) => ({ info: await this.#info(path) });

  makeDir = async ({ path }: { path: string }) => {
    await mkdir(this.#path(path), { recursive: true });
    return { info: await this.#info(path) };
  };

  rename = async ({ from, to }: { from: string; to: string }) => {
    await rename(this.#path(from), this.#path(to)).catch(() => this.#missing(from));
    return { info: await this.#info(to) };
  };

  remove = async (request: RemoveRequest) => {
    const path = this.#path(request.path);
    const info = await this.#info(request.path);
    const children = info.type === FileType.DIRECTORY ? await readdir(path) : [];
    if (children.length > 0 && !request.recursive) {
      throw new Fault(ErrorReason.DIRECTORY_NOT_EMPTY, `${request.path} is not empty`);
    }
    await rm(path, { recursive: true });
    return {};
  };

  /** A file's bytes, past the API. */
  contentOf(path: string): Promise<Buffer> {
    return readFile(this.#path(path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }

  #path(path: string): string {
    return join(this.root, path);
  }

  #upload(id: string) {
    const upload = this.uploads.get(id);
    if (upload !== undefined) return upload;
    throw new Fault(ErrorReason.UPLOAD_NOT_FOUND, `there is no upload ${id}`);
  }

  #missing(path: string): never {
    throw new Fault(ErrorReason.FILE_NOT_FOUND, `nothing is at ${path}`, { details: { path } });
  }

  async #info(path: string): Promise<FileInfo> {
    const stats = await stat(this.#path(path)).catch(() => this.#missing(path));
    return create(FileInfoSchema, {
      name: basename(path),
      path: join("/", path),
      type: stats.isDirectory() ? FileType.DIRECTORY : FileType.FILE,
      size: BigInt(stats.size),
      mode: stats.mode & 0o7777,
      owner: "user",
      group: "user",
      modifiedAt: timestampFromDate(stats.mtime),
    });
  }
}
