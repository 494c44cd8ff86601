import { createHash } from "node:crypto";
import { FileType, type TreeEntry } from "@nullspace/proto/agent";
import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { resumeStream } from "../resume.js";
import { damaged } from "./download-file.js";
import { LocalTree } from "./local-writing.js";
import type { DownloadDirOptions, TransferDirResult, TransferEntry } from "./options.js";

const TYPES: Record<FileType, TransferEntry["type"]> = {
  [FileType.FILE]: "file",
  [FileType.DIRECTORY]: "directory",
  [FileType.SYMLINK]: "symlink",
  [FileType.OTHER]: "other",
  [FileType.UNSPECIFIED]: "other",
};

/** Downloads a folder with all it holds. */
export async function downloadDir(
  agent: AgentConnection,
  path: string,
  localPath: string,
  options: DownloadDirOptions,
): Promise<TransferDirResult> {
  const result: TransferDirResult = { files: 0, directories: 0, links: 0, bytes: 0, skipped: [] };
  const place: { after?: Uint8Array; offset: bigint } = { offset: 0n };
  const attach = (attemptOptions: CallOptions) =>
    agent.stream(attemptOptions, (attempt) => agent.files.readTree({ path, ...place }, attempt));
  const select = new Selection(options.filter);
  await using tree = new LocalTree(localPath);
  for await (const message of resumeStream(options, attach, () => place.after !== undefined)) {
    const hash = createHash("sha256");
    for (const { data } of message.entries) hash.update(data);
    if (!hash.digest().equals(message.sha256)) throw damaged(path);
    const wanted = message.entries.filter((entry) => select.wants(entry));
    await tree.write(wanted.filter(({ type }) => type !== FileType.OTHER));
    for (const entry of wanted) count(result, entry);
    const last = message.entries.at(-1);
    if (last !== undefined) {
      place.after = last.path;
      const isOpen = last.type === FileType.FILE && !last.last;
      place.offset = isOpen ? last.offset + BigInt(last.data.length) : 0n;
    }
    options.onProgress?.({ bytes: result.bytes, totalBytes: undefined, files: result.files });
  }
  await tree.finish();
  return result;
}

function count(result: TransferDirResult, entry: TreeEntry): void {
  result.bytes += entry.data.length;
  if (entry.type === FileType.FILE && entry.last) result.files++;
  if (entry.type === FileType.DIRECTORY && entry.path.length > 0) result.directories++;
  if (entry.type === FileType.SYMLINK) result.links++;
  if (entry.type === FileType.OTHER) result.skipped.push(Buffer.from(entry.path).toString());
}

/** Applies the caller's filter; what is below a folder that was left out is left out, too. */
class Selection {
  readonly #filter: DownloadDirOptions["filter"];
  #leftOut: Buffer | undefined;

  constructor(filter: DownloadDirOptions["filter"]) {
    this.#filter = filter;
  }

  wants({ path: bytes, type }: TreeEntry): boolean {
    if (this.#filter === undefined || bytes.length === 0) return true;
    const path = Buffer.from(bytes);
    if (this.#leftOut !== undefined && startsWith(path, this.#leftOut)) return false;
    if (this.#filter({ path: path.toString(), type: TYPES[type] })) return true;
    this.#leftOut = Buffer.concat([path, Buffer.from("/")]);
    return false;
  }
}

function startsWith(path: Buffer, prefix: Buffer): boolean {
  return path.length >= prefix.length && path.subarray(0, prefix.length).equals(prefix);
}
