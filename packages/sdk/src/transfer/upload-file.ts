import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { UPLOAD_BLOCK_BYTES } from "@nullspace/proto/agent";
import type { AgentConnection } from "../connection.js";
import { FileUploadError, InvalidArgumentError, NullspaceError, TimeoutError } from "../errors.js";
import { abortUpload } from "../files/abort-upload.js";
import { fromInfoMessage } from "../files/info.js";
import { randomKey } from "../idempotency.js";
import { isTransient, REATTACH_RETRIES } from "../retry.js";
import { Lanes } from "./lanes.js";
import type { UploadFileOptions, UploadFileResult } from "./options.js";

/** The most that the machine takes, and what it makes checksums of. */
const PART_BYTES = UPLOAD_BLOCK_BYTES;

/** Parts on their way at a time. */
const PARTS_IN_FLIGHT = 4;

/** Calls that may be made twice, and are worth some twenty seconds of waiting. */
const PATIENT = { idempotent: true, retries: REATTACH_RETRIES };

/** Where an upload goes. */
export interface UploadTarget {
  path: string;
  /** Below the folder at `path`. */
  below?: Uint8Array;
  mode: number;
  user: string;
  modifiedAtMs: number;
}

/** Uploads a local file. */
export async function uploadFile(
  agent: AgentConnection,
  localPath: string,
  path: string,
  options: UploadFileOptions,
): Promise<UploadFileResult> {
  await using file = await openLocal(localPath);
  const { size, mode, mtimeMs } = await file.stat();
  const target = {
    path,
    mode: options.mode ?? mode & 0o7777,
    user: options.user ?? "",
    modifiedAtMs: mtimeMs,
  };
  let sent = 0;
  const onBytes = (bytes: number, files: number) => {
    sent += bytes;
    options.onProgress?.({ bytes: sent, totalBytes: size, files });
  };
  const result = await uploadOpenFile(agent, file, target, options, (bytes) => onBytes(bytes, 0));
  onBytes(0, 1);
  return result;
}

/** Uploads what is open, in parts, several of them at a time. */
export async function uploadOpenFile(
  agent: AgentConnection,
  file: FileHandle,
  target: UploadTarget,
  options: Pick<UploadFileOptions, "signal" | "requestTimeoutMs" | "uploadId" | "idempotencyKey">,
  onBytes: (bytes: number) => void,
): Promise<UploadFileResult> {
  const { modifiedAtMs, ...rest } = target;
  const request = {
    ...rest,
    replaceMode: true,
    modifiedAt: timestampFromMs(Math.floor(modifiedAtMs)),
    blockChecksum: true,
    idempotencyKey: options.idempotencyKey ?? randomKey(),
  };
  const mayExist = options.uploadId !== undefined || options.idempotencyKey !== undefined;
  const uploadId =
    options.uploadId ??
    (await agent.unary(options, (attempt) => agent.files.beginUpload(request, attempt), PATIENT))
      .uploadId;
  try {
    const received = mayExist ? await receivedRanges(agent, uploadId, options) : [];
    const { size, sha256, blocksSha256 } = await sendParts(
      agent,
      file,
      uploadId,
      received,
      options,
      onBytes,
    );
    const { info } = await agent.unary(
      options,
      (attempt) =>
        agent.files.commitUpload({ uploadId, size: BigInt(size), blocksSha256 }, attempt),
      PATIENT,
    );
    return { info: fromInfoMessage(info), bytes: size, sha256: sha256.toString("hex") };
  } catch (error) {
    if (isInterruption(error)) {
      throw new FileUploadError(`the upload was interrupted: ${error.message}`, uploadId, {
        cause: error,
      });
    }
    await abortUpload(agent, uploadId);
    throw error;
  }
}

async function openLocal(path: string): Promise<FileHandle> {
  const file = await open(path, "r");
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new InvalidArgumentError(`${path} is no plain file`, {
    remedy: "Upload a folder with uploadDir, and a stream with files.write.",
  });
}

async function receivedRanges(
  agent: AgentConnection,
  uploadId: string,
  options: UploadFileOptions,
): Promise<{ start: number; end: number }[]> {
  const { received } = await agent.unary(
    options,
    (attempt) => agent.files.getUpload({ uploadId }, attempt),
    PATIENT,
  );
  return received.map(({ start, end }) => ({ start: Number(start), end: Number(end) }));
}

/** Sends what has not been received yet; all of it is read, for the checksum. */
async function sendParts(
  agent: AgentConnection,
  file: FileHandle,
  uploadId: string,
  received: readonly { start: number; end: number }[],
  options: Pick<UploadFileOptions, "signal" | "requestTimeoutMs">,
  onBytes: (bytes: number) => void,
): Promise<{ size: number; sha256: Buffer; blocksSha256: Buffer }> {
  const lanes = new Lanes(PARTS_IN_FLIGHT, options.signal);
  const call = { ...options, signal: lanes.signal };
  const [hash, blocks] = [createHash("sha256"), createHash("sha256")];
  let offset = 0;
  try {
    for (;;) {
      const data = await readBlock(file, offset);
      if (data.length === 0) break;
      hash.update(data);
      blocks.update(createHash("sha256").update(data).digest());
      const [start, end] = [offset, offset + data.length];
      offset = end;
      if (received.some((range) => range.start <= start && range.end >= end)) {
        onBytes(data.length);
        continue;
      }
      const part = { uploadId, offset: BigInt(start), data };
      await lanes.run(async () => {
        await agent.unary(call, (attempt) => agent.files.uploadPart(part, attempt), PATIENT);
        onBytes(data.length);
      });
    }
    await lanes.drain();
  } finally {
    await lanes.cancel();
  }
  return { size: offset, sha256: hash.digest(), blocksSha256: blocks.digest() };
}

async function readBlock(file: FileHandle, offset: number): Promise<Buffer> {
  const block = Buffer.allocUnsafe(PART_BYTES);
  let filled = 0;
  while (filled < PART_BYTES) {
    const { bytesRead } = await file.read(block, filled, PART_BYTES - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return block.subarray(0, filled);
}

/** Whether the way to the machine was lost, and nothing else is wrong. */
function isInterruption(error: unknown): error is NullspaceError {
  return error instanceof TimeoutError || (error instanceof NullspaceError && isTransient(error));
}
