import { readdir, readFile, readlink } from "node:fs/promises";
import { basename } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ListeningPortSchema } from "@nullspace/proto/agent";
import { parseSocketTable } from "./socket-table.js";

/** The TCP ports that something in this machine listens on, lowest first. */
export async function listeningPorts(): Promise<MessageInitShape<typeof ListeningPortSchema>[]> {
  const tables = await Promise.all(["tcp", "tcp6"].map((name) => readTable(`/proc/net/${name}`)));
  const sockets = tables.flatMap(parseSocketTable);
  const owners = await ownersOf(new Set(sockets.map(({ inode }) => inode)));
  return sockets
    .map(({ port, address, inode }) => ({ port, address, ...owners.get(inode) }))
    .toSorted((a, b) => a.port - b.port || a.address.localeCompare(b.address));
}

interface Owner {
  readonly pid: number;
  readonly process: string;
}

/** Which processes hold sockets: the first of several that share one. */
async function ownersOf(inodes: ReadonlySet<string>): Promise<ReadonlyMap<string, Owner>> {
  const owners = new Map<string, Owner>();
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    for (const inode of await socketsOf(pid)) {
      if (!inodes.has(inode) || owners.has(inode)) continue;
      owners.set(inode, { pid: Number(pid), process: await nameOf(pid) });
    }
  }
  return owners;
}

async function socketsOf(pid: string): Promise<string[]> {
  const folder = `/proc/${pid}/fd`;
  const descriptors = await orGone(readdir(folder), []);
  const links = await Promise.all(descriptors.map((fd) => orGone(readlink(`${folder}/${fd}`), "")));
  return links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
}

/** Of the program, not of a thread: what a runtime calls its first thread tells nobody anything. */
async function nameOf(pid: string): Promise<string> {
  return basename(await orGone(readlink(`/proc/${pid}/exe`), ""));
}

/** A kernel without IPv6 has no table of it. */
async function readTable(path: string): Promise<string> {
  return orGone(readFile(path, "utf8"), "");
}

const GONE = new Set(["ENOENT", "ESRCH", "EACCES", "EPERM"]);

/** What was asked of a process that may end at any moment, or that is another user's. */
async function orGone<T>(answer: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Error && "code" in error && GONE.has(String(error.code))) return otherwise;
    throw error;
  }
}
