import { stat } from "node:fs/promises";
import { posix } from "node:path";
import { type Files, FileUploadError, type Nullspace, NullspaceError } from "@nullspace/sdk";
import { openClient } from "../client.js";
import { nameOf, parsePlace, type Place, targetPath } from "../cp-place.js";
import type { CommonOptions } from "../options.js";
import { writeOut } from "../pass-through.js";
import { type Progress, ProgressBar } from "../progress-bar.js";
import { hint, printJson } from "../terminal.js";
import { UsageError } from "../usage-error.js";

/** Options of `nullspace cp`. */
export interface CpFlags extends CommonOptions {
  user?: string;
  resume?: string;
  quiet?: boolean;
}

/** What one copy did. */
interface Copied {
  source: string;
  target: string;
  bytes: number;
  files: number;
}

/** `nullspace cp` */
export async function cp(places: string[], flags: CpFlags): Promise<void> {
  const [target, ...sources] = places.toReversed();
  if (target === undefined || sources.length === 0) {
    throw new UsageError("give a source and a target: nullspace cp notes.md machine:notes.md");
  }
  const to = parsePlace(target);
  const from = sources.toReversed().map((source) => ({ text: source, place: parsePlace(source) }));
  if ([to, ...from.map(({ place }) => place)].every(({ kind }) => kind !== "machine")) {
    throw new UsageError("neither side is in a machine: write machine:path");
  }
  if (to.kind === "pipe" && flags.json) throw new UsageError("standard output is the file's");
  if (from.length > 1 && (to.kind === "pipe" || flags.resume !== undefined)) {
    throw new UsageError("that goes with one source only");
  }
  await using client = await openClient(flags);
  const results: Copied[] = [];
  for (const { text, place } of from) {
    using bar = new ProgressBar(nameOf(text) ?? text, process.stderr);
    const onProgress = flags.quiet ? () => undefined : (now: Progress) => bar.update(now);
    const copy = await copyOne(client, place, to, {
      ...flags,
      onProgress,
      several: from.length > 1,
    });
    results.push({ source: text, target, ...copy });
  }
  if (flags.json) printJson({ items: results });
}

interface CopyOptions extends CpFlags {
  onProgress: (progress: Progress) => void;
  /** The target must be a folder. */
  several: boolean;
}

type Amount = Pick<Copied, "bytes" | "files">;

async function copyOne(
  client: Nullspace,
  from: Place,
  to: Place,
  options: CopyOptions,
): Promise<Amount> {
  if (from.kind === "machine") {
    const files = await filesOf(client, from.machineId);
    if (to.kind === "pipe") return toPipe(files, from.path);
    if (to.kind === "local") return toLocal(files, from.path, to.path, options);
    return across(files, from.path, await filesOf(client, to.machineId), to.path, options);
  }
  if (to.kind !== "machine") throw new UsageError("one side must be in a machine");
  const files = await filesOf(client, to.machineId);
  if (from.kind === "pipe") return fromPipe(files, to.path, options);
  return toMachine(files, from.path, to.path, options);
}

async function filesOf(client: Nullspace, machineId: string): Promise<Files> {
  return (await client.machines.connect(machineId)).files;
}

async function toMachine(
  files: Files,
  source: string,
  target: string,
  { user, resume: uploadId, onProgress, several }: CopyOptions,
): Promise<Amount> {
  const isFolder = (await stat(source)).isDirectory();
  const path = targetPath(source, target, several || (await isFolderThere(files, target)));
  if (isFolder) return files.uploadDir(source, path, { user, onProgress });
  try {
    const { bytes } = await files.uploadFile(source, path, { user, uploadId, onProgress });
    return { bytes, files: 1 };
  } catch (error) {
    if (error instanceof FileUploadError) hint(`go on with it: --resume ${error.uploadId}`);
    throw error;
  }
}

async function toLocal(
  files: Files,
  source: string,
  target: string,
  { onProgress, several }: CopyOptions,
): Promise<Amount> {
  const isFolder = await isFolderThere(files, source);
  const path = targetPath(source, target, several || (await isFolderHere(target)));
  if (isFolder) return files.downloadDir(source, path, { onProgress });
  const { bytes } = await files.downloadFile(source, path, { onProgress });
  return { bytes, files: 1 };
}

async function toPipe(files: Files, source: string): Promise<Amount> {
  const bytes = await writeOut(await files.read(source, { format: "stream" }));
  return { bytes, files: 1 };
}

async function fromPipe(files: Files, target: string, options: CopyOptions): Promise<Amount> {
  if (target.endsWith("/") || (await isFolderThere(files, target))) {
    throw new UsageError("what comes from a pipe has no name: give the file's whole path");
  }
  const { user, onProgress } = options;
  const { size } = await files.write(target, counted(process.stdin, onProgress), { user });
  return { bytes: size, files: 1 };
}

/** From one machine to another, through here. */
async function across(
  from: Files,
  source: string,
  to: Files,
  target: string,
  { user, onProgress, several }: CopyOptions,
): Promise<Amount> {
  if (await isFolderThere(from, source)) {
    throw new UsageError("between machines only files can be copied: copy the folder here first");
  }
  const path = targetPath(source, target, several || (await isFolderThere(to, target)));
  const content = counted(await from.read(source, { format: "stream" }), onProgress);
  const { size } = await to.write(path, content, { user });
  return { bytes: size, files: 1 };
}

async function* counted(
  content: AsyncIterable<Uint8Array | string>,
  onProgress: (progress: Progress) => void,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of content) {
    const data = Buffer.from(piece);
    bytes += data.length;
    onProgress({ bytes, totalBytes: undefined });
    yield data;
  }
}

async function isFolderHere(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** Links count as what they lead to, as far as they are followed. */
async function isFolderThere(files: Files, path: string, hops = 8): Promise<boolean> {
  try {
    const { type, path: found, symlinkTarget } = await files.info(path);
    if (symlinkTarget === undefined || hops === 0) return type === "directory";
    return await isFolderThere(files, posix.resolve(posix.dirname(found), symlinkTarget), hops - 1);
  } catch (error) {
    const missing = ["FILE_NOT_FOUND", "NOT_DIRECTORY"];
    if (error instanceof NullspaceError && missing.includes(error.reason)) return false;
    throw error;
  }
}
