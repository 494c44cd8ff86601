import picomatch from "picomatch";
import { ErrorReason } from "@nullspace/proto";
import { FileType } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { UserDatabase } from "../guest/users.js";
import type { Anchor } from "./anchor.js";
import { errorCode } from "./file-fault.js";
import { type FileInfo, fileType, inspect } from "./file-info.js";
import { joinPath } from "./listing.js";
import { walk } from "./walking.js";

/** Entries in one message. */
const BATCH = 128;

/** The longest glob there is a use for. */
const MOST_GLOB = 4096;

/** What is looked for. */
export interface FindOptions {
  /** What clients call the folder. */
  path: string;
  /** Matched with names when it has no slash, else with paths below the folder. All match an empty one. */
  glob: string;
  /** Any when unspecified. */
  type: FileType;
  limit: number;
  except: string | undefined;
}

/**
 * Finds what lies below a folder by its name, in batches.
 *
 * @throws Fault INVALID_PATTERN.
 */
export async function* find(
  folder: Anchor,
  { path, glob, type, limit, except }: FindOptions,
  users: UserDatabase,
): AsyncGenerator<{ entries: FileInfo[]; truncated: boolean }> {
  const matches = matcher(glob);
  let entries: FileInfo[] = [];
  let count = 0;
  for await (const step of walk(folder, { except })) {
    if (type !== FileType.UNSPECIFIED && fileType(step.entry) !== type) continue;
    if (!matches(step.path.toString(), step.name.toString())) continue;
    if (count === limit) {
      yield { entries, truncated: true };
      return;
    }
    const called = joinPath(path, step.path.toString());
    const info = await inspect(step.folder.at(step.name), called, users, step.name).catch(
      (error: unknown) => {
        if (errorCode(error) === "ENOENT") return undefined;
        throw error;
      },
    );
    if (info === undefined) continue;
    count++;
    if (entries.push(info) < BATCH) continue;
    yield { entries, truncated: false };
    entries = [];
  }
  yield { entries, truncated: false };
}

function matcher(glob: string): (path: string, name: string) => boolean {
  if (glob === "") return () => true;
  if (glob.length > MOST_GLOB) throw invalidGlob(glob.slice(0, 40), "it is too long");
  try {
    const isMatch = picomatch(glob, { dot: true, maxLength: MOST_GLOB });
    return glob.includes("/") ? (path) => isMatch(path) : (_path, name) => isMatch(name);
  } catch (error) {
    throw invalidGlob(glob, error instanceof Error ? error.message : String(error));
  }
}

function invalidGlob(glob: string, why: string): Fault {
  return new Fault(ErrorReason.INVALID_PATTERN, `${JSON.stringify(glob)} is no glob: ${why}`, {
    remedy: "Use *, **, ?, [abc] and {a,b}.",
    details: { field: "glob" },
  });
}
