import type { CallOptions } from "../call.js";
import type { FileInfo } from "../files/info.js";

/** How far a transfer is. */
export interface TransferProgress {
  /** Bytes of content that have arrived, and are known to be right. */
  bytes: number;
  /** Bytes in all, where they are known. */
  totalBytes: number | undefined;
  /** Files that are complete. */
  files: number;
}

/** Options of every transfer. `requestTimeoutMs` is for each call that it is made of. */
export interface TransferOptions extends CallOptions {
  /** Called now and then, and at the end. */
  onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/** What {@link Files.uploadFile} takes. */
export interface UploadFileOptions extends TransferOptions {
  /** Permission bits; those of the local file when not given. */
  mode?: number | undefined;
  /** Owner of a new file and of parents that are made; `user` when not given. */
  user?: string | undefined;
  /** Go on with this upload, which a `FileUploadError` told of: only what is missing is sent. */
  uploadId?: string | undefined;
  /** Beginning again with the same key, within an hour, goes on with the same upload; the SDK makes one when not given. */
  idempotencyKey?: string | undefined;
}

/** What {@link Files.uploadFile} did. */
export interface UploadFileResult {
  /** The file in the machine. */
  info: FileInfo;
  bytes: number;
  /** SHA-256 of the whole file in hexadecimal; the machine has confirmed it. */
  sha256: string;
}

/** A file, folder or link below the folder that is transferred. */
export interface TransferEntry {
  /** Below the folder, with `/` between; names that are not UTF-8 show replacement characters. */
  path: string;
  type: "file" | "directory" | "symlink" | "other";
}

/** What {@link Files.uploadDir} takes. */
export interface UploadDirOptions extends TransferOptions {
  /** Owner of everything that is made; `user` when not given. */
  user?: string | undefined;
  /** Leaves out what it says false to, a folder with all it holds. */
  filter?: ((entry: TransferEntry) => boolean) | undefined;
}

/** What {@link Files.downloadDir} takes. */
export interface DownloadDirOptions extends TransferOptions {
  /** Leaves out what it says false to, a folder with all it holds. */
  filter?: ((entry: TransferEntry) => boolean) | undefined;
}

/** What a folder's transfer did. */
export interface TransferDirResult {
  files: number;
  directories: number;
  links: number;
  /** Of the files' contents. */
  bytes: number;
  /** Sockets, devices and pipes, which are not transferred: paths below the folder. */
  skipped: string[];
}

/** What {@link Files.downloadFile} takes. */
export interface DownloadFileOptions extends TransferOptions {
  /** Go on with what an earlier call has left beside `localPath`, if the file is still the same; true when not given. */
  resume?: boolean | undefined;
}

/** What {@link Files.downloadFile} did. */
export interface DownloadFileResult {
  /** The file in the machine, as it was when it was opened. */
  info: FileInfo;
  /** Bytes of the whole file. */
  bytes: number;
  /** Bytes of them that an earlier call had brought. */
  resumedAt: number;
}
