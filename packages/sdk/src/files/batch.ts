import { type BatchFailure, BatchWriteError } from "../errors.js";
import type { AgentConnection } from "../connection.js";
import type { FileInfo } from "./info.js";
import type { FileToWrite, WriteOptions } from "./options.js";
import { writeFile } from "./write.js";

/** Files on their way at a time. */
const FILES_IN_FLIGHT = 8;

/** Writes several files, each of them atomically. */
export async function writeFiles(
  agent: AgentConnection,
  files: Iterable<FileToWrite>,
  options: WriteOptions,
): Promise<FileInfo[]> {
  const infos: FileInfo[] = [];
  const successes: string[] = [];
  const failures: BatchFailure[] = [];
  const queue = [...files].entries();
  const writer = async () => {
    for (const [index, { path, content, mode }] of queue) {
      try {
        infos[index] = await writeFile(agent, path, content, {
          ...options,
          mode: mode ?? options.mode,
        });
        successes.push(path);
      } catch (error) {
        failures.push({ path, error: error instanceof Error ? error : new Error(String(error)) });
      }
    }
  };
  await Promise.all(Array.from({ length: FILES_IN_FLIGHT }, writer));
  if (failures.length > 0) throw new BatchWriteError(successes, failures, failures[0]?.error);
  return infos;
}
