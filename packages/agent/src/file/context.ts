import { lstatSync } from "node:fs";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { User, UserDatabase } from "../guest/users.js";
import type { ProcessTable } from "../process/process-table.js";
import type { Anchor, Spot } from "./anchor.js";
import { type FileInfo, inspect } from "./file-info.js";
import type { Paths } from "./paths.js";
import type { Uploads } from "./uploads.js";

export interface FileServiceOptions {
  paths: Paths;
  users: UserDatabase;
  uploads: Uploads;
  /** Runs the agent's own tools. */
  table: ProcessTable;
  /** The compiled `native/file-watcher.c`. */
  watcherProgram: string;
}

/** What the calls of FileService share. */
export class FileContext {
  readonly paths: Paths;
  readonly users: UserDatabase;
  readonly uploads: Uploads;
  readonly table: ProcessTable;
  readonly watcherProgram: string;

  constructor(options: FileServiceOptions) {
    this.paths = options.paths;
    this.users = options.users;
    this.uploads = options.uploads;
    this.table = options.table;
    this.watcherProgram = options.watcherProgram;
  }

  /**
   * The user that new files belong to.
   *
   * @throws Fault INVALID_ARGUMENT when there is none of this name.
   */
  owner(name: string): User {
    return this.users.find(name, ErrorReason.INVALID_ARGUMENT);
  }

  /** What clients learn of a spot: where it is a link, of the link. */
  look(spot: Spot): Promise<FileInfo> {
    return inspect(spot.file, spot.path, this.users, spot.name);
  }

  /** Says of a path below a folder whether it leads into the reserved folder. */
  reservedIn(folder: Anchor): (below: Buffer) => boolean {
    const except = this.paths.reservedBelow(folder);
    if (except === undefined) return () => false;
    return (below) => {
      const path = below.toString();
      return path === except || path.startsWith(`${except}/`);
    };
  }
}

/** Whether a folder is at a spot. */
export function isFolder(spot: Spot): boolean {
  return lstatSync(spot.file).isDirectory();
}

/**
 * Permission bits as a request gives them.
 *
 * @throws Fault INVALID_ARGUMENT.
 */
export function permissions(mode: number): number {
  if (mode <= 0o7777) return mode;
  throw new Fault(ErrorReason.INVALID_ARGUMENT, `0o${mode.toString(8)} are no permission bits`, {
    remedy: "Give at most 0o7777.",
    details: { field: "mode" },
  });
}
