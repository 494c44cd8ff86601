import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeMap, overlay } from "../../packages/server/dist/host/memory/memory-map.js";
import { parseJson, textAt } from "./json.js";

const MIB = 1024 * 1024;
const PAGE = 4096;

/** The whole memory that a snapshot stands for, put together as QEMU maps it. */
export async function memoryOf(home: string, snapshotId: string): Promise<Buffer> {
  const folder = (id: string) => join(home, "snapshots", id);
  const manifest = parseJson(await readFile(join(folder(snapshotId), "manifest.json"), "utf8"));
  const layers: unknown = Reflect.get(Object(manifest), "memoryLayers");
  if (!Array.isArray(layers)) throw new Error("a snapshot without layers");
  const [bottom = "", ...above] = layers.map(String);
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

/** The memory of a guest that stands still, as its QEMU has it: a full dump. */
export async function dumpMemory(home: string, machineId: string): Promise<Buffer> {
  const text = await readFile(join(home, "machines", machineId, "machine.json"), "utf8");
  const record = parseJson(text);
  const pid = Number(Reflect.get(Object(record), "pid"));
  const bytes = Number(Reflect.get(Object(record), "memoryMb")) * MIB;
  const { findMemory } = await import("../../packages/server/dist/host/memory/guest-mapping.js");
  const { stat } = await import("node:fs/promises");
  const layers: unknown = Reflect.get(Object(record), "memoryLayers");
  if (!Array.isArray(layers))
    throw new Error(`a machine without layers: ${textAt(record, "machineId")}`);
  const inodes = await Promise.all(
    layers.map(async (id, index) => {
      const file = join(home, "snapshots", String(id), index === 0 ? "memory" : "memory.pages");
      return (await stat(file, { bigint: true })).ino;
    }),
  );
  const address = findMemory(await readFile(`/proc/${pid}/maps`, "latin1"), bytes, inodes);
  await using memory = await open(`/proc/${pid}/mem`, "r");
  const dump = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += MIB) await memory.read(dump, at, MIB, address + at);
  return dump;
}
