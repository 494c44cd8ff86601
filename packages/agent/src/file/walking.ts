import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import type { Anchor } from "./anchor.js";
import { errorCode } from "./file-fault.js";
import { isTemporaryName } from "./replacement.js";

const SLASH = Buffer.from("/");

/** One entry that a walk comes by. Its folder is open until the walk goes on. */
export interface Step {
  folder: Anchor;
  name: Buffer;
  /** Below the folder where the walk began. */
  path: Buffer;
  entry: Dirent<Buffer>;
}

/** Where a walk goes. */
export interface WalkOptions {
  /** Levels below the folder. */
  depth?: number;
  /** A path below the folder that is left out, with all it holds. */
  except?: string | undefined;
  /** Names of a path below the folder: only what comes after it. */
  after?: readonly Buffer[] | undefined;
}

/**
 * Walks through a folder: parents before children, each folder's entries in
 * the order of their bytes. Links are not followed; what vanishes meanwhile is
 * left out, and so are files on their way to their place.
 */
export async function* walk(root: Anchor, options: WalkOptions = {}): AsyncGenerator<Step> {
  const { depth = Number.POSITIVE_INFINITY, except, after = [] } = options;
  const exceptBytes = except === undefined ? undefined : Buffer.from(except);
  yield* walkFolder(root, undefined, depth, exceptBytes, after);
}

async function* walkFolder(
  folder: Anchor,
  below: Buffer | undefined,
  depth: number,
  except: Buffer | undefined,
  after: readonly Buffer[],
): AsyncGenerator<Step> {
  const [resume, ...resumeRest] = after;
  const entries = await readdir(folder.path, { withFileTypes: true, encoding: "buffer" });
  for (const entry of entries.toSorted((a, b) => a.name.compare(b.name))) {
    const { name } = entry;
    const order = resume === undefined ? 1 : name.compare(resume);
    if (order < 0 || isTemporaryName(name.toString("latin1"))) continue;
    const path = below === undefined ? name : Buffer.concat([below, SLASH, name]);
    if (except?.equals(path) === true) continue;
    if (order > 0) yield { folder, name, path, entry };
    if (!entry.isDirectory() || depth <= 1) continue;
    using inside = descendIfThere(folder, name);
    if (inside === undefined) continue;
    yield* walkFolder(inside, path, depth - 1, except, order > 0 ? [] : resumeRest);
  }
}

function descendIfThere(folder: Anchor, name: Buffer): Anchor | undefined {
  try {
    return folder.descend(name);
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
