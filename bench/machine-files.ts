import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { findMemory } from "@nullspace/server/internal";

const MIB = 1024 * 1024;

/** What a server's host has noted of a machine. */
export interface MachineRecord {
  directory: string;
  pid: number;
  memoryBytes: number;
  /** Of the files that its memory is mapped from. */
  inodes: bigint[];
}

/** Reads what the host of a home has noted of a machine. */
export async function readRecord(home: string, id: string): Promise<MachineRecord> {
  const directory = join(home, "machines", id);
  const record: unknown = JSON.parse(await readFile(join(directory, "machine.json"), "utf8"));
  const field = (name: string): unknown => Reflect.get(Object(record), name);
  const layers = field("memoryLayers");
  if (!Array.isArray(layers)) throw new Error("a machine without layers of memory");
  const inodes = layers.map(async (layer, index) => {
    const file = index === 0 ? "memory" : "memory.pages";
    const path = join(home, "snapshots", String(layer), file);
    return (await stat(path, { bigint: true })).ino;
  });
  return {
    directory,
    pid: Number(field("pid")),
    memoryBytes: Number(field("memoryMb")) * MIB,
    inodes: await Promise.all(inodes),
  };
}

/** Memory of one machine that nobody else has a part in, in MiB. */
export interface PrivateMemory {
  guest: number;
  qemu: number;
}

/** Tells a guest's own memory and that of its QEMU apart. */
export async function privateMemory(record: MachineRecord): Promise<PrivateMemory> {
  const maps = await readFile(`/proc/${record.pid}/maps`, "latin1");
  const begin = findMemory(maps, record.memoryBytes, record.inodes);
  let [guest, qemu] = [0, 0];
  let isGuest = false;
  for (const line of (await readFile(`/proc/${record.pid}/smaps`, "latin1")).split("\n")) {
    const range = /^([0-9a-f]+)-[0-9a-f]+ /.exec(line);
    if (range?.[1] !== undefined) {
      const address = Number.parseInt(range[1], 16);
      isGuest = address >= begin && address < begin + record.memoryBytes;
    }
    const anonymous = /^Anonymous:\s+(\d+) kB/.exec(line)?.[1];
    if (anonymous === undefined) continue;
    if (isGuest) guest += Number(anonymous) / 1024;
    else qemu += Number(anonymous) / 1024;
  }
  return { guest, qemu };
}

/** What a machine's files take on the disk, in MiB. */
export async function diskUse({ directory }: MachineRecord): Promise<number> {
  const names = await readdir(directory);
  const sizes = names.map(async (name) => (await stat(join(directory, name))).blocks * 512);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0) / MIB;
}
