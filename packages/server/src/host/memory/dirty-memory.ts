import { readSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { setImmediate as breathe } from "node:timers/promises";
import { PAGE_BYTES, type PageRun } from "./page-run.js";

/** Bits of an entry in `/proc/<pid>/pagemap`, in its upper half. */
const PRESENT = 1 << 31;
const SWAPPED = 1 << 30;
const OF_FILE = 1 << 29;
const ENTRY_BYTES = 8;

/** A write takes this much, and between two of them everyone else has a turn. */
const BATCH_BYTES = 4 << 20;

/** The memory of a guest, as its QEMU has it mapped: ready to find and to copy what the guest wrote. */
export class DirtyMemory implements AsyncDisposable {
  readonly #address: number;
  readonly #pagemap: FileHandle;
  readonly #memory: FileHandle;
  readonly #entries: Buffer;
  readonly #batch = Buffer.allocUnsafeSlow(BATCH_BYTES);

  private constructor(address: number, pagemap: FileHandle, memory: FileHandle, bytes: number) {
    this.#address = address;
    this.#pagemap = pagemap;
    this.#memory = memory;
    this.#entries = Buffer.alloc((bytes / PAGE_BYTES) * ENTRY_BYTES);
  }

  /**
   * Finds a guest's memory in a process.
   *
   * @param bytes - size of the memory.
   * @param inodes - of the files that it is mapped from.
   * @throws Error when it is not there.
   */
  static async open(pid: number, bytes: number, inodes: readonly bigint[]): Promise<DirtyMemory> {
    const address = findMemory(await readFile(`/proc/${pid}/maps`, "latin1"), bytes, inodes);
    await using opened = new AsyncDisposableStack();
    const pagemap = opened.use(await open(`/proc/${pid}/pagemap`, "r"));
    const memory = opened.use(await open(`/proc/${pid}/mem`, "r"));
    opened.move();
    return new DirtyMemory(address, pagemap, memory, bytes);
  }

  /**
   * The pages that differ from what they were mapped from: those that the guest wrote.
   * They are the process's own, present or swapped out, and no longer those of a file.
   */
  find(): PageRun[] {
    const position = (this.#address / PAGE_BYTES) * ENTRY_BYTES;
    readFully(this.#pagemap.fd, this.#entries, position);
    const halves = new Int32Array(
      this.#entries.buffer,
      this.#entries.byteOffset,
      this.#entries.length / 4,
    );
    const runs: PageRun[] = [];
    let run: PageRun | undefined;
    let at = 0;
    for (let page = 0, index = 1; index < halves.length; page++, index += 2) {
      const upper = halves[index] ?? 0;
      const isDirty = (upper & (PRESENT | SWAPPED)) !== 0 && (upper & OF_FILE) === 0;
      if (!isDirty) {
        run = undefined;
        continue;
      }
      if (run === undefined) {
        run = { page, pages: 0, at };
        runs.push(run);
      }
      run.pages++;
      at++;
    }
    return runs;
  }

  /** Copies pages into a file, one run after the other. The guest must stand still. */
  async copy(runs: readonly PageRun[], file: FileHandle): Promise<void> {
    let filled = 0;
    const flush = async () => {
      if (filled > 0) await file.writev([this.#batch.subarray(0, filled)]);
      filled = 0;
    };
    for (const { page, pages } of runs) {
      const end = (page + pages) * PAGE_BYTES;
      for (let from = page * PAGE_BYTES; from < end;) {
        const length = Math.min(end - from, BATCH_BYTES - filled);
        const target = this.#batch.subarray(filled, filled + length);
        readFully(this.#memory.fd, target, this.#address + from);
        filled += length;
        from += length;
        if (filled < BATCH_BYTES) continue;
        await flush();
        await breathe();
      }
    }
    await flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pagemap.close();
    await this.#memory.close();
  }
}

/**
 * Where the one stretch of memory of this size begins that is mapped from these files alone.
 * Their devices are not compared: for some file systems the kernel tells another here than `stat` does.
 */
export function findMemory(maps: string, bytes: number, inodes: readonly bigint[]): number {
  const known = new Set(inodes.map(String));
  let begin = 0;
  let end = 0;
  for (const line of maps.split("\n")) {
    const [range = "", , , , inode = ""] = line.split(/ +/);
    const [from = 0, to = 0] = range.split("-").map((text) => Number.parseInt(text, 16));
    if (!known.has(inode)) {
      begin = end = 0;
      continue;
    }
    if (from !== end) begin = from;
    end = to;
    if (end - begin === bytes) return begin;
  }
  throw new Error("the guest's memory is not mapped as it was started with");
}

function readFully(fd: number, target: Buffer, position: number): void {
  for (let filled = 0; filled < target.length;) {
    const bytes = readSync(fd, target, filled, target.length - filled, position + filled);
    if (bytes === 0) throw new Error("a guest's memory that ends early");
    filled += bytes;
  }
}
