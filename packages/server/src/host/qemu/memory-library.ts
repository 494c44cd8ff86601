import { readFile } from "node:fs/promises";
import { DESCRIPTORS } from "./descriptors.js";

/** What QEMU is told to open as its memory; the library answers it. */
export const MEMORY_PATH = `/proc/self/fd/${DESCRIPTORS.memory}`;

/**
 * Variable with the size beyond which no file that QEMU writes grows. It bounds what a guest can
 * put into its console's log while no server is there to trim it.
 */
export const MAX_FILE_BYTES = "NULLSPACE_MAX_FILE_BYTES";

/** The library of `native/qemu-memory.c`, which QEMU is started with. */
export async function memoryLibrary(): Promise<Buffer> {
  return await readFile(new URL("../../../dist/native/qemu-memory.so", import.meta.url));
}
