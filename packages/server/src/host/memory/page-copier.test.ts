import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { MEMORY_PATH, memoryLibrary } from "../qemu/memory-library.js";
import { findMemory } from "./guest-mapping.js";
import { decodeMap } from "./memory-map.js";
import { PageCopier, PageCopyError } from "./page-copier.js";
import { PAGE_BYTES } from "./page-run.js";

const BYTES = 32 * 1024 * 1024;
const PAGES = BYTES / PAGE_BYTES;
const DEADLINE = { timeoutMs: 60_000 };

/** A QEMU that stands still. Its memory is mapped as that of a machine, and written from outside. */
async function startGuest() {
  const directory = await mkdtemp(join(tmpdir(), "copier-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const file = join(directory, "memory");
  await writeFile(file, randomBytes(BYTES));
  const library = join(directory, "library.so");
  await writeFile(library, await memoryLibrary());
  await using memory = await open(file, "r");
  const args =
    `-object memory-backend-file,id=ram,size=${BYTES / 1024 / 1024}M,mem-path=${MEMORY_PATH},share=off` +
    " -machine q35,memory-backend=ram -nodefaults -display none -S -qmp stdio";
  const qemu = spawn("qemu-system-x86_64", args.split(" "), {
    stdio: ["ignore", "pipe", "ignore", "ignore", "ignore", memory.fd],
    env: { ...process.env, LD_PRELOAD: library },
  });
  onTestFinished(() => end(qemu));
  await once(qemu.stdout ?? qemu, "data");
  const pid = qemu.pid ?? 0;
  const inodes = [(await stat(file, { bigint: true })).ino];
  const address = findMemory(await readFile(`/proc/${pid}/maps`, "latin1"), BYTES, inodes);
  const mem = await open(`/proc/${pid}/mem`, "r+");
  onTestFinished(() => mem.close());
  const write = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const [page, pages] = [randomInt(PAGES - 8), randomInt(1, 8)];
      const bytes = randomBytes(pages * PAGE_BYTES);
      await mem.write(bytes, 0, bytes.length, address + page * PAGE_BYTES);
    }
  };
  const dump = async () => {
    const whole = Buffer.alloc(BYTES);
    await mem.read(whole, 0, BYTES, address);
    return whole;
  };
  return { directory, file, write, dump, memory: { pid, bytes: BYTES, inodes } };
}

/** Since Linux 6.7. */
function kernelTellsWrites(): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return major > 6 || (major === 6 && minor >= 7);
}

async function end(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

/** The guest's memory, put together from its file and what was copied. */
async function imageOf(file: string, pages: string, map: string): Promise<Buffer> {
  const image = await readFile(file);
  const copied = await readFile(pages);
  for (const run of decodeMap(await readFile(map), BYTES, copied.length)) {
    const [from, length] = [run.at * PAGE_BYTES, run.pages * PAGE_BYTES];
    copied.copy(image, run.page * PAGE_BYTES, from, from + length);
  }
  return image;
}

test.for([true, false])(
  "what was copied is the memory, byte for byte; beforehand: %s",
  async (beforehand) => {
    const guest = await startGuest();
    for (const round of [1, 2, 3]) {
      const [pagesFile, mapFile] = ["pages", "map"].map((name) =>
        join(guest.directory, `${round}.${name}`),
      );
      if (pagesFile === undefined || mapFile === undefined) throw new Error("no names");
      await using pages = await open(pagesFile, "w+");
      await using map = await open(mapFile, "w+");
      await guest.write(300);
      await using copier = await PageCopier.start({ ...guest.memory, pages, map });
      const isCopied = beforehand && (await copier.precopy(DEADLINE));
      expect(isCopied).toBe(beforehand && kernelTellsWrites());
      // Some of these are new, and some have been copied already.
      await guest.write(100);
      const { pages: count } = await copier.finish(DEADLINE);
      await copier.ended(DEADLINE);
      expect(count).toBeGreaterThan(300);
      const image = await imageOf(guest.file, pagesFile, mapFile);
      expect(image.equals(await guest.dump())).toBe(true);
    }
  },
);

test("a full disk is told by its name", async () => {
  const guest = await startGuest();
  await guest.write(1);
  await using pages = await open("/dev/full", "w");
  await using map = await open(join(guest.directory, "map"), "w");
  await using copier = await PageCopier.start({ ...guest.memory, pages, map });
  const failure: unknown = await copier.finish(DEADLINE).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(PageCopyError);
  expect(failure).toMatchObject({ code: "ENOSPC" });
});

test("a copier that is killed is told from one that is done", async () => {
  const guest = await startGuest();
  await using pages = await open(join(guest.directory, "pages"), "w");
  await using map = await open(join(guest.directory, "map"), "w");
  const copier = await PageCopier.start({ ...guest.memory, pages, map });
  await copier[Symbol.asyncDispose]();
  await expect(copier.finish(DEADLINE)).rejects.toThrow("cut off");
  await expect(copier.ended(DEADLINE)).rejects.toThrow("cut off");
});
