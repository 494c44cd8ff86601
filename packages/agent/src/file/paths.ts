import { lstatSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { errorCode } from "./file-fault.js";

/** What the platform keeps for itself. */
export const RESERVED_FOLDER = "/workspace/.nullspace";

/** As many as the kernel follows. */
const MOST_LINKS = 40;

/** A place in the file system that a request names. */
export interface Place {
  /** Absolute, as the client would write it: what answers carry. */
  path: string;
  /** The same place with every symbolic link on the way resolved: what is worked on. */
  real: string;
}

/** Turns the paths of requests into places, and keeps clients out of the reserved folder. */
export class Paths {
  readonly #cwd: () => string;
  readonly #reserved: string;

  /** @param cwd where relative paths start, at the moment. */
  constructor(cwd: () => string, reserved = RESERVED_FOLDER) {
    this.#cwd = cwd;
    this.#reserved = reserved;
  }

  /**
   * The place itself: where its last part is a link, the link.
   *
   * @throws Fault INVALID_ARGUMENT, RESERVED_PATH; system errors of the way there.
   */
  entry(path: string): Place {
    const absolute = this.#absolute(path);
    if (absolute === "/") return { path: absolute, real: absolute };
    return this.#place(absolute, join(real(dirname(absolute)), basename(absolute)));
  }

  /**
   * Where the path leads: links are followed to the end, there or not.
   *
   * @throws Fault INVALID_ARGUMENT, RESERVED_PATH; system errors of the way there.
   */
  target(path: string): Place {
    const absolute = this.#absolute(path);
    return this.#place(absolute, real(absolute));
  }

  /**
   * Refuses to remove or move what the reserved folder lies in.
   *
   * @throws Fault RESERVED_PATH.
   */
  refuseParentOfReserved({ path, real: place }: Place): void {
    if (isWithin(this.#reserved, place)) throw reservedPath(path, this.#reserved);
  }

  #absolute(path: string): string {
    if (path !== "" && !path.includes("\0")) return resolve(this.#cwd(), path);
    throw new Fault(ErrorReason.INVALID_ARGUMENT, "the path is empty or holds a NUL byte", {
      remedy: "Give an absolute path, or one that starts at the machine's working directory.",
      details: { field: "path" },
    });
  }

  #place(path: string, place: string): Place {
    if (isWithin(place, this.#reserved)) throw reservedPath(path, this.#reserved);
    return { path, real: place };
  }
}

function reservedPath(path: string, folder: string): Fault {
  return new Fault(ErrorReason.RESERVED_PATH, `${path} is reserved`, {
    remedy: `Choose a path outside of ${folder}.`,
    details: { path },
  });
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);
}

/** As realpath(3), for paths whose end is not there yet as well. */
function real(path: string, links = 0): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  const place = join(real(dirname(path), links), basename(path));
  // Not there, and yet a link: it dangles. What is written goes where it points.
  const isLink = lstatSync(place, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
  if (!isLink || links === MOST_LINKS) return place;
  return real(resolve(dirname(place), readlinkSync(place)), links + 1);
}
