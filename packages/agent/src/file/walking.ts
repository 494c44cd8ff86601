import { type Dirent, readdirSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import type { Anchor } from "./anchor.js";
import { errorCode } from "./file-fault.js";
import { isTemporaryName } from "./replacement.js";

const SLASH = Buffer.from("/");
const DOT = 0x2e;

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

/** Entries that are walked by before others get their turn. */
const BATCH = 64;

/**
 * Walks through a folder: parents before children, each folder's entries in
 * the order of their bytes. Links are not followed; what vanishes meanwhile is
 * left out, and so are files on their way to their place.
 */
export async function* walk(root: Anchor, options: WalkOptions = {}): AsyncGenerator<Step> {
  let count = 0;
  for (const step of walkAtOnce(root, options)) {
    if (++count % BATCH === 0) await setImmediate();
    yield step;
  }
}

/** As {@link walk}, without a turn for anybody else: whoever walks gives it. */
export function walkAtOnce(root: Anchor, options: WalkOptions = {}): Generator<Step> {
  const { depth = Number.POSITIVE_INFINITY, except, after = [] } = options;
  const exceptBytes = except === undefined ? undefined : Buffer.from(except);
  return walkFolder(root, undefined, depth, exceptBytes, after);
}

function* walkFolder(
  folder: Anchor,
  below: Buffer | undefined,
  depth: number,
  except: Buffer | undefined,
  after: readonly Buffer[],
): Generator<Step> {
  const [resume, ...resumeRest] = after;
  // The way to a thread and back costs more than most folders.
  const entries = readdirSync(folder.path, { withFileTypes: true, encoding: "buffer" });
  for (const entry of entries.toSorted((a, b) => a.name.compare(b.name))) {
    const { name } = entry;
    const order = resume === undefined ? 1 : name.compare(resume);
    if (order < 0 || isTemporary(name)) continue;
    const path = below === undefined ? name : Buffer.concat([below, SLASH, name]);
    if (except?.equals(path) === true) continue;
    if (order > 0) yield { folder, name, path, entry };
    if (!entry.isDirectory() || depth <= 1) continue;
    using inside = descendIfThere(folder, name);
    if (inside === undefined) continue;
    yield* walkFolder(inside, path, depth - 1, except, order > 0 ? [] : resumeRest);
  }
}

/** Most names are told apart by their first byte. */
function isTemporary(name: Buffer): boolean {
  return name[0] === DOT && isTemporaryName(name.toString("latin1"));
}

function descendIfThere(folder: Anchor, name: Buffer): Anchor | undefined {
  try {
    return folder.descend(name);
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
