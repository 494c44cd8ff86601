import type { FileInfo, Files } from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { writeOut } from "../pass-through.js";
import {
  bytes as size,
  fields,
  hint,
  print,
  printJson,
  shown,
  styled,
  table,
} from "../terminal.js";

/** Does something with a machine's files. */
export async function withFiles<T>(
  id: string,
  flags: CommonOptions,
  act: (files: Files) => Promise<T>,
): Promise<T> {
  await using client = await openClient(flags);
  const machine = await client.machines.connect(id);
  // Awaited: the client closes when this scope ends.
  return await act(machine.files);
}

/** Options of `nullspace files ls`. */
export interface ListFlags extends CommonOptions {
  depth: number;
  long?: boolean;
}

/** `nullspace files ls` */
export async function list(id: string, path: string, flags: ListFlags): Promise<void> {
  const items = await withFiles(id, flags, (files) => files.list(path, { depth: flags.depth }));
  if (flags.json) return printJson({ items });
  if (items.length === 0) return hint("the folder is empty");
  printEntries(items, flags.long === true, flags.depth > 1);
}

/** Prints files and folders: their names, or one line of facts for each. */
export function printEntries(items: readonly FileInfo[], long: boolean, paths: boolean): void {
  const nameOf = (info: FileInfo) => coloured(info, shown(paths ? info.path : info.name));
  if (!long) return print(items.map((info) => `${nameOf(info)}\n`).join(""));
  const rows = items.map((info) => [
    modeOf(info),
    info.owner,
    info.group,
    info.type === "file" ? size(info.size) : "-",
    info.modifiedAt.toISOString().replace("T", " ").slice(0, 19),
    nameOf(info) + (info.symlinkTarget === undefined ? "" : ` -> ${shown(info.symlinkTarget)}`),
  ]);
  print(table(["MODE", "OWNER", "GROUP", "SIZE", "MODIFIED", "NAME"], rows));
}

/** `nullspace files cat` */
export async function cat(id: string, paths: string[], flags: CommonOptions): Promise<void> {
  await withFiles(id, flags, async (files) => {
    if (!flags.json) {
      for (const path of paths) await writeOut(await files.read(path, { format: "stream" }));
      return;
    }
    const items = [];
    for (const path of paths) {
      const content = Buffer.from(await files.read(path, { format: "bytes" }));
      items.push({ path, base64: content.toString("base64") });
    }
    printJson({ items });
  });
}

/** Options of `nullspace files write`. */
export interface WriteFlags extends CommonOptions {
  mode?: number;
  user?: string;
}

/** `nullspace files write` */
export async function write(id: string, path: string, flags: WriteFlags): Promise<void> {
  const { mode, user } = flags;
  const info = await withFiles(id, flags, (files) =>
    files.write(path, process.stdin, { mode, user }),
  );
  if (flags.json) printJson(info);
  else hint(`${size(info.size)} in ${shown(info.path)}`);
}

/** Options of `nullspace files mkdir`. */
export interface MakeDirFlags extends CommonOptions {
  mode?: number;
  user?: string;
}

/** `nullspace files mkdir` */
export async function makeDirs(id: string, paths: string[], flags: MakeDirFlags): Promise<void> {
  const { mode, user } = flags;
  await oneByOne(id, paths, flags, (files, path) => files.makeDir(path, { mode, user }));
}

/** `nullspace files mv` */
export async function move(
  id: string,
  from: string,
  to: string,
  flags: CommonOptions,
): Promise<void> {
  const info = await withFiles(id, flags, (files) => files.rename(from, to));
  if (flags.json) printJson(info);
}

/** Options of `nullspace files rm` and `chmod`. */
export interface RemoveFlags extends CommonOptions {
  recursive?: boolean;
}

/** `nullspace files rm` */
export async function remove(id: string, paths: string[], flags: RemoveFlags): Promise<void> {
  const { recursive } = flags;
  await oneByOne(id, paths, flags, async (files, path) => {
    await files.remove(path, { recursive });
    return { path };
  });
}

/** `nullspace files chmod` */
export async function changeMode(
  id: string,
  mode: number,
  paths: string[],
  flags: RemoveFlags,
): Promise<void> {
  const { recursive } = flags;
  await oneByOne(id, paths, flags, (files, path) =>
    files.setPermissions(path, mode, { recursive }),
  );
}

/** `nullspace files stat` */
export async function stat(id: string, paths: string[], flags: CommonOptions): Promise<void> {
  await withFiles(id, flags, async (files) => {
    const items = await Promise.all(paths.map((path) => files.info(path)));
    if (flags.json) return printJson({ items });
    print(items.map(factsOf).join("\n"));
  });
}

/** Options of `nullspace files download-url` and `upload-url`. */
export interface UrlFlags extends CommonOptions {
  expires: number;
}

/** `nullspace files download-url` and `upload-url` */
export async function makeUrl(
  id: string,
  path: string,
  direction: "download" | "upload",
  flags: UrlFlags,
): Promise<void> {
  const options = { expiresInSeconds: flags.expires };
  const made = await withFiles(id, flags, (files) =>
    direction === "upload" ? files.uploadUrl(path, options) : files.downloadUrl(path, options),
  );
  if (flags.json) return printJson(made);
  print(`${made.url}\n`);
  const use = direction === "upload" ? "curl -T FILE URL" : "curl -OJ URL";
  hint(`good until ${made.expiresAt.toISOString()} for whoever has it: ${use}`);
}

async function oneByOne(
  id: string,
  paths: string[],
  flags: CommonOptions,
  act: (files: Files, path: string) => Promise<unknown>,
): Promise<void> {
  const items = await withFiles(id, flags, async (files) => {
    const done = [];
    for (const path of paths) done.push(await act(files, path));
    return done;
  });
  if (flags.json) printJson({ items });
}

function factsOf(info: FileInfo): string {
  return fields([
    ["path", shown(info.path)],
    ["type", info.type],
    ["target", info.symlinkTarget === undefined ? undefined : shown(info.symlinkTarget)],
    ["size", `${info.size} bytes`],
    ["mode", `${info.mode.toString(8).padStart(4, "0")} ${modeOf(info)}`],
    ["owner", `${info.owner}:${info.group}`],
    ["modified", info.modifiedAt.toISOString()],
  ]);
}

const LETTERS = { file: "-", directory: "d", symlink: "l", other: "?" } as const;

/** Type and permission bits as ls shows them. */
function modeOf({ type, mode }: FileInfo): string {
  const bits = Array.from("rwxrwxrwx", (letter, at) => (mode & (0o400 >> at) ? letter : "-"));
  return LETTERS[type] + bits.join("");
}

function coloured({ type, mode }: FileInfo, name: string): string {
  if (type === "directory") return styled("bold", `${name}/`);
  if (type === "symlink") return styled("cyan", name);
  return type === "file" && mode & 0o111 ? styled("green", name) : name;
}
