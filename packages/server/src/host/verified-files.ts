import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type FileDigest, FileDigestSchema } from "@nullspace/proto/host";
import { hasCode, replaceFile } from "./durable-files.js";
import { isObject } from "./qemu/qmp/json.js";

/** Kept beside the files: what each looked like to the system when its bytes were last proved. */
const STAMPS_FILE = ".verified.json";

const READ_BYTES = 1024 * 1024;

/**
 * Opens files that a manifest vouches for, and only if they hold the bytes it
 * tells. Reading half a gigabyte takes a second, so a file that was proved once
 * is trusted while its inode, size and times of change stay as they were; that
 * is remembered across processes.
 */
export class VerifiedFiles {
  /** One proof at a time for each folder, as they share a file of stamps. */
  readonly #proofs = new Map<string, Promise<void>>();
  /** Stamps by path that this process has seen on the disk or made. */
  readonly #known = new Map<string, string>();

  /**
   * Opens a file for reading and proves it through the very descriptor it
   * returns, so nothing can take the file's place in between. The caller closes it.
   *
   * @param remedy - what to do if the file is damaged, in one sentence.
   * @throws Fault IMAGE_CORRUPTED, with the path in details `file`.
   */
  async open(path: string, expected: FileDigest | undefined, remedy: string): Promise<FileHandle> {
    const corrupted = (why: string, cause?: unknown) =>
      new Fault(ErrorReason.IMAGE_CORRUPTED, `${path} ${why}`, {
        remedy,
        details: { file: path },
        cause,
      });
    if (expected === undefined) throw corrupted("is not in its manifest");
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(
      (cause: unknown) => {
        if (hasCode(cause, "ENOENT", "ELOOP", "ENOTDIR")) throw corrupted("is missing", cause);
        throw cause;
      },
    );
    try {
      const { size } = await file.stat();
      if (BigInt(size) !== expected.size) {
        throw corrupted(`has ${size} bytes instead of ${expected.size}`);
      }
      const sound = await this.#proved(path, file, expected.sha256);
      if (!sound) throw corrupted("does not have the SHA-256 of its manifest");
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Notes that a file has just been written and hashed by us, so that its first use need not read it again. */
  async remember(path: string, digest: FileDigest | undefined): Promise<void> {
    if (digest === undefined) return;
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    this.#known.set(path, await stampOf(file, digest.sha256));
  }

  /** Whether the open file has this hash, by its stamp if that still fits. */
  async #proved(path: string, file: FileHandle, sha256: string): Promise<boolean> {
    const stamp = await stampOf(file, sha256);
    if (this.#known.get(path) === stamp) return true;
    const stamps = join(dirname(path), STAMPS_FILE);
    const former = this.#proofs.get(stamps) ?? Promise.resolve();
    const proof = former.then(() => this.#prove(path, file, sha256, stamps));
    const settled = proof.then(
      () => undefined,
      () => undefined,
    );
    this.#proofs.set(stamps, settled);
    try {
      return await proof;
    } finally {
      if (this.#proofs.get(stamps) === settled) this.#proofs.delete(stamps);
    }
  }

  async #prove(path: string, file: FileHandle, sha256: string, stamps: string): Promise<boolean> {
    // Taken before the bytes are read: a change meanwhile makes the stamp worthless.
    const stamp = await stampOf(file, sha256);
    const all = await readStamps(stamps);
    if (all[basename(path)] !== stamp) {
      if ((await hashFile(file)) !== sha256) return false;
      const json = JSON.stringify({ ...all, [basename(path)]: stamp }, null, 2);
      await replaceFile(stamps, json, { mode: 0o600, durable: false });
    }
    this.#known.set(path, stamp);
    return true;
  }
}

/** Size and SHA-256 of a file. */
export async function digestFile(path: string): Promise<FileDigest> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  return create(FileDigestSchema, { size: BigInt(size), sha256: await hashFile(file) });
}

/** SHA-256 of a whole file in lower-case hexadecimal. */
export async function hashFile(file: FileHandle): Promise<string> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (let position = 0; ;) {
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES, position);
    if (bytesRead === 0) return hash.digest("hex");
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}

/** What tells that a file has not been touched since it had this hash. */
async function stampOf(file: FileHandle, sha256: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
  return [sha256, dev, ino, size, mtimeNs, ctimeNs].join(" ");
}

async function readStamps(stamps: string): Promise<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(await readFile(stamps, "utf8"));
    return isObject(json) ? { ...json } : {};
  } catch (error) {
    // Stamps only save time: without them, or with damaged ones, the files are read again.
    if (hasCode(error, "ENOENT") || error instanceof SyntaxError) return {};
    throw error;
  }
}
