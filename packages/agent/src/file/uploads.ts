import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readlink } from "node:fs/promises";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { randomBytes } from "../guest/random.js";
import type { Spot } from "./anchor.js";
import { ByteRanges, type ByteRange } from "./byte-ranges.js";
import { ArrivalHash } from "./arrival-hash.js";
import { BlockHashes } from "./block-hashes.js";
import { atPath } from "./file-fault.js";
import type { FileInfo } from "./file-info.js";
import { type NewFile, Replacement } from "./replacement.js";

/** An upload that nobody adds to for this long is dropped. */
const EXPIRES_MS = 60 * 60 * 1000;

/** Parts that arrive out of order leave gaps; nobody needs this many. */
const MOST_GAPS = 1 << 14;

/** How many completed uploads are remembered, for clients whose answer got lost. */
const MOST_COMMITTED = 256;

interface Upload {
  file: NewFile;
  replacement: Replacement;
  ranges: ByteRanges;
  hash: ArrivalHash | undefined;
  blocks: BlockHashes | undefined;
  key: string;
  expiry: NodeJS.Timeout;
  /** A commit on its way: one that is repeated gets its answer. */
  committing?: Promise<FileInfo>;
}

/** What an upload is to be; see CommitUpload. */
export interface Checksums {
  sha256: Uint8Array;
  blocksSha256: Uint8Array;
}

/** How an upload is begun. */
export interface UploadOptions {
  /** Beginning again with the same key, unless it is empty, gives the same upload. */
  key?: string;
  /** The commit will bring a checksum of the whole. */
  checksum?: boolean;
  /** The commit will bring a checksum of its blocks. */
  blockChecksum?: boolean;
}

/** Files that arrive in parts. */
export class Uploads {
  readonly #folder: string;
  readonly #onError: (error: unknown) => void;
  readonly #expiresMs: number;
  readonly #uploads = new Map<string, Upload>();
  readonly #byKey = new Map<string, Promise<string>>();
  readonly #committed = new Map<string, FileInfo>();

  /**
   * Removes what uploads of a former agent have left.
   *
   * @param folder where the names of half-written files are kept, for the next agent to do the same.
   * @param onError told when an expired upload cannot be removed.
   */
  constructor(folder: string, onError: (error: unknown) => void, expiresMs = EXPIRES_MS) {
    this.#folder = folder;
    this.#onError = onError;
    this.#expiresMs = expiresMs;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const id of readdirSync(folder)) {
      rmSync(readFileSync(join(folder, id)), { force: true });
      rmSync(join(folder, id));
    }
  }

  /** Begins an upload to a spot, which is the upload's from now on, and returns its id. */
  begin(spot: Spot, file: NewFile, options: UploadOptions = {}) {
    const { key = "" } = options;
    const known = key === "" ? undefined : this.#byKey.get(key);
    if (known !== undefined) {
      spot[Symbol.dispose]();
      return known;
    }
    const begun = this.#begin(spot, file, options);
    if (key === "") return begun;
    this.#byKey.set(key, begun);
    begun.catch(() => this.#byKey.delete(key));
    return begun;
  }

  /** Writes a part. The same part may come again. */
  async write(id: string, offset: bigint, data: Uint8Array): Promise<void> {
    const { replacement, ranges, hash, blocks, expiry } = this.#get(id);
    expiry.refresh();
    const start = Number(offset);
    if (!Number.isSafeInteger(start + data.length) || ranges.count > MOST_GAPS) {
      throw new Fault(ErrorReason.INVALID_ARGUMENT, "the part lies too far from the others", {
        remedy: "Send the parts roughly in their order.",
        details: { field: "offset" },
      });
    }
    hash?.add(start, data);
    await Promise.all([
      blocks?.add(start, data),
      atPath(replacement.spot.path, () => replacement.write(data, start)),
    ]);
    ranges.add(start, start + data.length);
  }

  /** The bytes that have arrived. */
  received(id: string): readonly ByteRange[] {
    return this.#get(id).ranges.all;
  }

  /**
   * Puts the upload in its place. An upload that is refused stays, to be
   * completed. Committing again gives the same answer.
   *
   * @param announced what it is to be; empty where nobody knows.
   * @param look tells what the place is like.
   * @throws Fault UPLOAD_INCOMPLETE unless exactly the bytes from 0 to size have arrived.
   * @throws Fault CHECKSUM_MISMATCH; the upload is dropped.
   */
  async commit(
    id: string,
    size: bigint,
    announced: Checksums,
    look: (spot: Spot) => Promise<FileInfo>,
  ): Promise<FileInfo> {
    const known = this.#committed.get(id);
    if (known !== undefined) return known;
    const upload = this.#get(id);
    upload.committing ??= this.#commit(id, upload, size, announced, look).finally(() => {
      delete upload.committing;
    });
    return upload.committing;
  }

  /** Ends an upload: what has not been committed is removed. One that is gone already is fine. */
  async abort(id: string): Promise<void> {
    const upload = this.#uploads.get(id);
    if (upload === undefined) return;
    this.#uploads.delete(id);
    this.#byKey.delete(upload.key);
    clearTimeout(upload.expiry);
    await upload.replacement[Symbol.asyncDispose]();
    rmSync(join(this.#folder, id), { force: true });
  }

  async #begin(spot: Spot, file: NewFile, options: UploadOptions): Promise<string> {
    const { key = "", checksum = false, blockChecksum = false } = options;
    const folder = await readlink(spot.folder.path, { encoding: "buffer" });
    const replacement = await Replacement.begin(spot);
    const id = randomBytes(16).toString("hex");
    const leftover = Buffer.concat([folder, Buffer.from(`/${replacement.temporary}`)]);
    writeFileSync(join(this.#folder, id), leftover, { mode: 0o600 });
    const expiry = setTimeout(() => void this.abort(id).catch(this.#onError), this.#expiresMs);
    expiry.unref();
    const hash = checksum ? new ArrivalHash() : undefined;
    const blocks = blockChecksum ? new BlockHashes() : undefined;
    const ranges = new ByteRanges();
    this.#uploads.set(id, { file, replacement, ranges, hash, blocks, key, expiry });
    return id;
  }

  async #commit(
    id: string,
    { file, replacement, ranges, hash, blocks }: Upload,
    size: bigint,
    { sha256, blocksSha256 }: Checksums,
    look: (spot: Spot) => Promise<FileInfo>,
  ): Promise<FileInfo> {
    if (!ranges.areExactly(Number(size))) {
      throw new Fault(
        ErrorReason.UPLOAD_INCOMPLETE,
        `the parts that arrived are not the ${size} bytes that were announced`,
        { remedy: "Send the missing parts and commit again.", details: { upload_id: id } },
      );
    }
    const hashes = [
      [sha256, hash ?? new ArrivalHash()],
      [blocksSha256, blocks ?? new BlockHashes()],
    ] as const;
    for (const [wanted, made] of hashes) {
      if (wanted.length === 0) continue;
      const read = (buffer: Buffer, offset: number) => replacement.read(buffer, offset);
      const actual = await made.digest(Number(size), read);
      if (actual.equals(wanted)) continue;
      await this.abort(id);
      throw checksumMismatch(replacement.spot.path);
    }
    const info = await atPath(replacement.spot.path, async () => {
      await replacement.commit(file);
      return look(replacement.spot);
    });
    this.#remember(id, info);
    await this.abort(id);
    return info;
  }

  #remember(id: string, info: FileInfo): void {
    this.#committed.set(id, info);
    const [oldest] = this.#committed.keys();
    if (oldest !== undefined && this.#committed.size > MOST_COMMITTED) {
      this.#committed.delete(oldest);
    }
  }

  #get(id: string): Upload {
    const upload = this.#uploads.get(id);
    if (upload !== undefined) return upload;
    throw new Fault(ErrorReason.UPLOAD_NOT_FOUND, `no upload has the id ${JSON.stringify(id)}`, {
      remedy: "Begin the upload again: one that nobody adds to for an hour is dropped.",
      details: { upload_id: id },
    });
  }
}

/** The fault of bytes that are not those that were sent. */
export function checksumMismatch(path: string): Fault {
  return new Fault(
    ErrorReason.CHECKSUM_MISMATCH,
    `${path}: the bytes that arrived are not those that were announced`,
    { remedy: "Send it again; the source may have changed meanwhile.", details: { path } },
  );
}
