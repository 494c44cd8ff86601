import { closeSync, constants, openSync, readlinkSync } from "node:fs";

/** Linux's flag for a descriptor that only stands for a place. Node has no name for it. */
const O_PATH = 0o10000000;

const FOLDER = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;

const SLASH = Buffer.from("/");

/** A name in a folder; bytes where it may not be UTF-8. */
export type Name = string | Buffer;

/**
 * A folder that is held open. Paths through {@link at} begin at this very
 * folder, whatever happens to the way that led to it: between a look at it and
 * the work in it nobody can put a link in its place.
 */
export class Anchor implements Disposable {
  readonly #fd: number;
  /** A path that leads to the folder, for this process. */
  readonly path: string;

  private constructor(fd: number) {
    this.#fd = fd;
    this.path = `/proc/self/fd/${fd}`;
  }

  /**
   * Opens a folder.
   *
   * @param admit looks at where it really is and throws to refuse it.
   * @throws system errors: ENOTDIR for everything else, links included.
   */
  static open(folder: Name, admit: (real: string) => void = () => {}): Anchor {
    const anchor = new Anchor(openSync(folder, FOLDER));
    try {
      admit(readlinkSync(anchor.path));
      return anchor;
    } catch (error) {
      anchor[Symbol.dispose]();
      throw error;
    }
  }

  /** The same path, for another process that may look into ours. */
  get foreignPath(): string {
    return `/proc/${process.pid}/fd/${this.#fd}`;
  }

  /** Path of what bears a name in the folder. */
  at(name: Name): Name {
    if (typeof name === "string") return `${this.path}/${name}`;
    return Buffer.concat([Buffer.from(this.path), SLASH, name]);
  }

  /** Opens a folder in this folder. */
  descend(name: Name): Anchor {
    return new Anchor(openSync(this.at(name), FOLDER));
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** A name in a folder that is held open. */
export class Spot implements Disposable {
  readonly folder: Anchor;
  readonly name: Name;
  /** What clients call it. */
  readonly path: string;

  constructor(folder: Anchor, name: Name, path: string) {
    this.folder = folder;
    this.name = name;
    this.path = path;
  }

  /** Where to work on it. Its last part must not be followed if it is a link. */
  get file(): Name {
    return this.folder.at(this.name);
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}
