import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Machine } from "@nullspace/sdk";
import type { Memory, PeakMemory } from "./peak-memory.js";

const MB = 1_000_000;

/** What memory a transfer took, in its first quarter and in its last. */
export interface TransferSoak {
  first: Memory;
  last: Memory;
  mbPerSecond: number;
}

/** Takes a file of so many MB into a machine and out again, and compares it. */
export async function soakTransfer(
  machine: Machine,
  memory: PeakMemory,
  megabytes: number,
): Promise<{ upload: TransferSoak; download: TransferSoak }> {
  const folder = await mkdtemp(join(tmpdir(), "nullspace-soak-"));
  try {
    const [source, copy] = [join(folder, "source"), join(folder, "copy")];
    await makeFile(source, megabytes);
    const sum = await digestOf(source);
    const upload = await watched(memory, megabytes, async (onProgress) => {
      const { sha256 } = await machine.files.uploadFile(source, "large", { onProgress });
      if (sha256 !== sum) throw new Error("the upload is another file");
    });
    await rm(source);
    const download = await watched(memory, megabytes, async (onProgress) => {
      await machine.files.downloadFile("large", copy, { onProgress });
    });
    if ((await digestOf(copy)) !== sum) throw new Error("the download is another file");
    await machine.files.remove("large");
    return { upload, download };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type OnProgress = (progress: { bytes: number }) => void;

async function watched(
  memory: PeakMemory,
  megabytes: number,
  transfer: (onProgress: OnProgress) => Promise<void>,
): Promise<TransferSoak> {
  const begun = performance.now();
  let first: Promise<Memory> | undefined;
  let restarted: Promise<void> | undefined;
  await memory.reset();
  await transfer(({ bytes }) => {
    if (bytes > (megabytes * MB) / 4) first ??= memory.peaks();
    if (bytes > (megabytes * MB * 3) / 4) restarted ??= memory.reset();
  });
  await restarted;
  if (first === undefined) throw new Error("no progress was told");
  const mbPerSecond = megabytes / ((performance.now() - begun) / 1000);
  return { first: await first, last: await memory.peaks(), mbPerSecond };
}

/** One random block, again and again, each time begun with its number. */
async function makeFile(path: string, megabytes: number): Promise<void> {
  await using file = await open(path, "w");
  const block = randomBytes(MB);
  for (let i = 0; i < megabytes; i++) {
    block.writeUInt32BE(i);
    await file.appendFile(block);
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
