import { readFile } from "node:fs/promises";
import { CONFINING_LIBRARY } from "../confinement/leaving-host.js";
import { DESCRIPTORS } from "./descriptors.js";

/** What QEMU is told to open as its memory; the library answers it. */
export const MEMORY_PATH = `/proc/self/fd/${DESCRIPTORS.memory}`;

/** The library of `native/qemu-memory.c`, which QEMU is started with. */
export async function memoryLibrary(): Promise<Buffer> {
  return await readFile(CONFINING_LIBRARY);
}
