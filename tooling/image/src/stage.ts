import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { runCommand } from "./command.ts";
import { digestInputs, type FileSum, type Inputs, sumFile } from "./digest.ts";
import type { Progress } from "./progress.ts";
import { parseStageRecord, type StageRecord } from "./stage-record.ts";

/** A part of a build whose result is kept for as long as its inputs stay the same. */
export interface Stage {
  /** Name in paths of the cache. */
  readonly name: string;
  /** Name for people. */
  readonly title: string;
  /** All that the result depends on. */
  readonly inputs: Inputs;
  /** Files of the result that go into an image: they are checksummed and made read-only. */
  readonly files: readonly string[];
  /**
   * Makes the result in an empty folder.
   *
   * @returns What the inputs turned into, such as versions of packages, one per line.
   */
  build(context: StageContext): Promise<string[]>;
}

/** What a stage has at hand while it is built. */
export interface StageContext {
  /** The folder to fill. */
  readonly directory: string;
  /** A folder for what is not part of the result. */
  readonly scratch: string;
  readonly signal: AbortSignal;
  /** Runs a command to its end; its output goes to the stage's log. */
  readonly run: (command: string, args: readonly string[], options?: RunOptions) => Promise<void>;
}

/** How a stage runs a command. */
export interface RunOptions {
  /** In namespaces of its own; see `CommandOptions.isolated`. */
  isolated?: boolean;
  /** What to do when it fails. Default: to read the log. */
  remedy?: string;
}

/** A stage that is there. */
export interface StageResult {
  readonly directory: string;
  readonly record: StageRecord;
}

/** Where and for whom stages are built. */
export interface StageEnvironment {
  /** Folder of all results. */
  readonly cache: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Names of unfinished work begin with this; what bears it after a crash is rubbish. */
export const TEMPORARY_PREFIX = ".tmp-";

const RECORD = "stage.json";

/** Where the result of a stage is kept. */
export function stageDirectory(stage: Stage, cache: string): string {
  return join(cache, `${stage.name}-${digestInputs(stage.inputs).slice(0, 16)}`);
}

/** The result of a stage: from the cache, or built now and kept. */
export async function ensureStage(
  stage: Stage,
  environment: StageEnvironment,
): Promise<StageResult> {
  const directory = stageDirectory(stage, environment.cache);
  const step = environment.progress.begin(stage.title);
  try {
    const kept = await readRecord(directory);
    if (kept !== undefined) {
      step.end("unchanged");
      return { directory, record: kept };
    }
    await rm(directory, { recursive: true, force: true });
    const record = await buildStage(stage, directory, environment, (line) => step.detail(line));
    step.end();
    return { directory, record };
  } catch (cause) {
    step.fail();
    throw cause;
  }
}

async function buildStage(
  stage: Stage,
  directory: string,
  environment: StageEnvironment,
  onLine: (line: string) => void,
): Promise<StageRecord> {
  const { cache, signal } = environment;
  await mkdir(cache, { recursive: true });
  const log = join(cache, `${stage.name}.log`);
  await writeFile(log, "");
  const work = await mkdtemp(join(cache, `${TEMPORARY_PREFIX}${stage.name}-`));
  try {
    const result = join(work, "result");
    const scratch = join(work, "scratch");
    await Promise.all([mkdir(result), mkdir(scratch)]);
    const resolved = await stage.build({
      directory: result,
      scratch,
      signal,
      run: (command, args, options = {}) =>
        runCommand(command, args, {
          signal,
          log,
          onLine,
          isolated: options.isolated ?? false,
          remedy: `${options.remedy ?? "The output says why."} The whole of it is in ${log}.`,
        }),
    });
    const files = await sealFiles(result, stage.files, signal);
    const record = { resolved, files };
    await writeFile(join(result, RECORD), `${JSON.stringify(record, undefined, 2)}\n`);
    await flush(result);
    await rename(result, directory);
    return record;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function sealFiles(
  directory: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<Record<string, FileSum>> {
  const sums: Record<string, FileSum> = {};
  for (const name of names) {
    const path = join(directory, name);
    await chmod(path, 0o444);
    sums[name] = await sumFile(path, signal);
  }
  return sums;
}

/** Puts everything below a folder on the disk. */
export async function flush(directory: string): Promise<void> {
  await promisify(execFile)("sync", ["--file-system", directory]);
}

async function readRecord(directory: string): Promise<StageRecord | undefined> {
  try {
    return parseStageRecord(await readFile(join(directory, RECORD), "utf8"));
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw cause;
  }
}
