import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { randomBytes } from "../guest/random.js";
import { ByteRanges } from "./byte-ranges.js";
import { atPath } from "./file-fault.js";
import type { Place } from "./paths.js";
import { type NewFile, Replacement } from "./replacement.js";

/** An upload that nobody adds to for this long is dropped. */
const EXPIRES_MS = 60 * 60 * 1000;

/** Parts that arrive out of order leave gaps; nobody needs this many. */
const MOST_GAPS = 1 << 14;

interface Upload {
  place: Place;
  file: NewFile;
  replacement: Replacement;
  ranges: ByteRanges;
  expiry: NodeJS.Timeout;
}

/** Files that arrive in parts. */
export class Uploads {
  readonly #folder: string;
  readonly #expiresMs: number;
  readonly #onError: (error: unknown) => void;
  readonly #uploads = new Map<string, Upload>();

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
      rmSync(readFileSync(join(folder, id), "utf8"), { force: true });
      rmSync(join(folder, id));
    }
  }

  /** Begins an upload to a place and returns its id. */
  async begin(place: Place, file: NewFile): Promise<string> {
    const replacement = await Replacement.begin(place.real, file.user);
    const id = randomBytes(16).toString("hex");
    writeFileSync(join(this.#folder, id), replacement.temporary, { mode: 0o600 });
    const expiry = setTimeout(() => void this.abort(id).catch(this.#onError), this.#expiresMs);
    expiry.unref();
    this.#uploads.set(id, { place, file, replacement, ranges: new ByteRanges(), expiry });
    return id;
  }

  /** Writes a part. The same part may come again. */
  async write(id: string, offset: bigint, data: Uint8Array): Promise<void> {
    const { place, replacement, ranges, expiry } = this.#get(id);
    expiry.refresh();
    const start = Number(offset);
    if (!Number.isSafeInteger(start + data.length) || ranges.count > MOST_GAPS) {
      throw new Fault(ErrorReason.INVALID_ARGUMENT, "the part lies too far from the others", {
        remedy: "Send the parts roughly in their order.",
        details: { field: "offset" },
      });
    }
    await atPath(place.path, () => replacement.write(data, start));
    ranges.add(start, start + data.length);
  }

  /**
   * Puts the upload in its place, and returns this place. An upload that is
   * refused stays, to be completed.
   *
   * @throws Fault UPLOAD_INCOMPLETE unless exactly the bytes from 0 to size have arrived.
   */
  async commit(id: string, size: bigint): Promise<Place> {
    const { place, file, replacement, ranges } = this.#get(id);
    if (!ranges.areExactly(Number(size))) {
      throw new Fault(
        ErrorReason.UPLOAD_INCOMPLETE,
        `the parts that arrived are not the ${size} bytes that were announced`,
        { remedy: "Send the missing parts and commit again.", details: { upload_id: id } },
      );
    }
    await atPath(place.path, () => replacement.commit(file));
    await this.abort(id);
    return place;
  }

  /** Ends an upload: what has not been committed is removed. One that is gone already is fine. */
  async abort(id: string): Promise<void> {
    const upload = this.#uploads.get(id);
    if (upload === undefined) return;
    this.#uploads.delete(id);
    clearTimeout(upload.expiry);
    await upload.replacement[Symbol.asyncDispose]();
    rmSync(join(this.#folder, id), { force: true });
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
