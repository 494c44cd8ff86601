import { lstatSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { User } from "../guest/users.js";
import { Anchor, Spot } from "./anchor.js";
import { errorCode } from "./file-fault.js";
import { openOrMake } from "./folders.js";

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

  /** The folder that clients are kept out of. */
  get reserved(): string {
    return this.#reserved;
  }

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
   * Opens the folder that a place lies in, so that the work at the place cannot
   * be led elsewhere any more. The rules are checked again, on what is open.
   *
   * @throws Fault RESERVED_PATH; system errors of the way there.
   */
  open({ path, real: place }: Place): Spot {
    // The root lies in no folder but itself.
    const name = place === "/" ? "." : basename(place);
    return new Spot(
      Anchor.open(dirname(place), (folder) => this.#admit(path, folder)),
      name,
      path,
    );
  }

  /** As {@link open}; missing folders on the way are made and given to the user. */
  openOrMake({ path, real: place }: Place, user: User): Spot {
    const name = place === "/" ? "." : basename(place);
    const folder = openOrMake(dirname(place), user, (way) => this.#admit(path, way));
    return new Spot(folder, name, path);
  }

  /** Opens the folder at a place. */
  openFolder({ path, real: place }: Place): Anchor {
    return Anchor.open(place, (folder) => this.#admit(path, folder));
  }

  /** As {@link openFolder}; it and missing folders on the way are made and given to the user. */
  openOrMakeFolder({ path, real: place }: Place, user: User): Anchor {
    return openOrMake(place, user, (folder) => this.#admit(path, folder));
  }

  /**
   * Refuses a file by where it really is.
   *
   * @param actual as the kernel tells of an open file.
   * @throws Fault RESERVED_PATH.
   */
  admit({ path }: Place, actual: string): void {
    this.#admit(path, actual);
  }

  /** The reserved folder as seen from a folder above it, to be left out of what is below. */
  reservedBelow(folder: Anchor): string | undefined {
    const place = readlinkSync(folder.path);
    if (!isWithin(this.#reserved, place) || this.#reserved === place) return undefined;
    return this.#reserved.slice(place === "/" ? 1 : place.length + 1);
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
    this.#admit(path, place);
    return { path, real: place };
  }

  #admit(path: string, place: string): void {
    if (isWithin(place, this.#reserved)) throw reservedPath(path, this.#reserved);
  }
}

function reservedPath(path: string, folder: string): Fault {
  return new Fault(ErrorReason.RESERVED_PATH, `${path} is reserved`, {
    remedy: `Choose a path outside of ${folder}.`,
    details: { path },
  });
}

/** Whether a path is a folder or lies in it. */
export function isWithin(path: string, folder: string): boolean {
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
