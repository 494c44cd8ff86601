import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { findMemory } from "../../packages/server/dist/host/memory/guest-mapping.js";
import { decodeMap, overlay } from "../../packages/server/dist/host/memory/memory-map.js";
import { parseJson } from "./json.js";

const MIB = 1024 * 1024;
const PAGE = 4096;

/** The whole memory that a snapshot stands for, put together as QEMU maps it. */
export async function memoryOf(home: string, snapshotId: string): Promise<Buffer> {
  const folder = (id: string) => join(home, "snapshots", id);
  const [bottom = "", ...above] = (await layersOf(join(folder(snapshotId), "manifest.json")))
    .memoryLayers;
  const memory = await readFile(join(folder(bottom), "memory"));
  const maps = await Promise.all(
    above.map(async (id) =>
      decodeMap(await readFile(join(folder(id), "memory.map")), 2 ** 40, 2 ** 40),
    ),
  );
  for (const { page, pages, layer, at } of overlay(maps)) {
    await using file = await open(join(folder(above[layer] ?? ""), "memory.pages"), "r");
    await file.read(memory, page * PAGE, pages * PAGE, at * PAGE);
  }
  return memory;
}

/** Layers of a snapshot or a machine, from the bottom up, by its manifest. */
export async function layersOf(
  manifest: string,
): Promise<{ memoryLayers: string[]; diskLayers: string[] }> {
  const json = parseJson(await readFile(manifest, "utf8"));
  const list = (name: string) => {
    const layers: unknown = Reflect.get(Object(json), name) ?? [];
    if (!Array.isArray(layers)) throw new Error(`${manifest} has no ${name}`);
    return layers.map(String);
  };
  return { memoryLayers: list("memoryLayers"), diskLayers: list("diskLayers") };
}

/** The process of a machine, and how its memory is mapped. */
interface Mapped {
  pid: number;
  bytes: number;
  /** Of the files of its layers. */
  inodes: bigint[];
}

async function mappedMemory(home: string, machineId: string): Promise<Mapped> {
  const path = join(home, "machines", machineId, "machine.json");
  const record = parseJson(await readFile(path, "utf8"));
  const { memoryLayers } = await layersOf(path);
  const inodes = memoryLayers.map(async (id, index) => {
    const file = join(home, "snapshots", id, index === 0 ? "memory" : "memory.pages");
    return (await stat(file, { bigint: true })).ino;
  });
  return {
    pid: Number(Reflect.get(Object(record), "pid")),
    bytes: Number(Reflect.get(Object(record), "memoryMb")) * MIB,
    inodes: await Promise.all(inodes),
  };
}

/** The memory of a guest that stands still, as its QEMU has it: a full dump. */
export async function dumpMemory(home: string, machineId: string): Promise<Buffer> {
  const { pid, bytes, inodes } = await mappedMemory(home, machineId);
  const address = findMemory(await readFile(`/proc/${pid}/maps`, "latin1"), bytes, inodes);
  await using memory = await open(`/proc/${pid}/mem`, "r");
  const dump = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += MIB) await memory.read(dump, at, MIB, address + at);
  return dump;
}

/** What the kernel holds a guest's memory in, in MiB: sums of `/proc/<pid>/smaps` over its mappings. */
export interface MemoryUse {
  pid: number;
  /** Of the guest alone, in memory. */
  privateMib: number;
  swapMib: number;
  /** Mapped as huge pages. */
  hugeMib: number;
  /** Whether all of it may be in huge pages, as far as it was asked for. */
  hugeAllowed: boolean;
  /** Whether the kernel may put it together with the same pages of others. */
  mergeable: boolean;
}

/** How a guest's memory is held at the moment. */
export async function memoryUse(home: string, machineId: string): Promise<MemoryUse> {
  const { pid, inodes } = await mappedMemory(home, machineId);
  const known = new Set(inodes.map(String));
  const kib = new Map<string, number>();
  let isMemory = false;
  let hugeAllowed = true;
  let mergeable = false;
  for (const line of (await readFile(`/proc/${pid}/smaps`, "latin1")).split("\n")) {
    const header = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ (\d+)/.exec(line);
    if (header !== null) isMemory = known.has(header[1] ?? "");
    if (!isMemory) continue;
    const [name = "", value = ""] = line.split(/: +/);
    if (name === "VmFlags") {
      const flags = value.split(" ");
      hugeAllowed &&= flags.includes("hg");
      mergeable ||= flags.includes("mg");
    } else kib.set(name, (kib.get(name) ?? 0) + Number.parseInt(value, 10));
  }
  const mib = (...names: string[]) =>
    names.reduce((sum, name) => sum + (kib.get(name) ?? 0), 0) / 1024;
  return {
    pid,
    privateMib: mib("Anonymous"),
    swapMib: mib("Swap"),
    hugeMib: mib("AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"),
    hugeAllowed,
    mergeable,
  };
}
