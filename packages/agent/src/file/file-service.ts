import { lstat, rm, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import type { FileService } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { User, UserDatabase } from "../guest/users.js";
import { atPath, fileFault } from "./file-fault.js";
import { type FileInfo, inspect } from "./file-info.js";
import { FOLDER_MODE, makeFolder } from "./folders.js";
import { listFolder } from "./listing.js";
import { move } from "./moving.js";
import type { Paths, Place } from "./paths.js";
import { readFile } from "./reading.js";
import { Replacement } from "./replacement.js";
import type { Uploads } from "./uploads.js";

/** Largest file that is written in one call. */
const MOST_WRITTEN = 1 << 20;

export interface FileServiceOptions {
  paths: Paths;
  users: UserDatabase;
  uploads: Uploads;
}

/** Serves the machine's files. */
export function fileService({
  paths,
  users,
  uploads,
}: FileServiceOptions): ServiceImpl<typeof FileService> {
  const owner = (name: string): User => users.find(name, ErrorReason.INVALID_ARGUMENT);
  const look = ({ path, real }: Place): Promise<FileInfo> => inspect(real, path, users);

  return {
    async *read({ path, offset, length }) {
      try {
        yield* readFile(paths.target(path), offset, length, users);
      } catch (error) {
        throw fileFault(error, path);
      }
    },

    write: ({ path, data, mode, user }) =>
      atPath(path, async () => {
        if (data.length > MOST_WRITTEN) throw tooLarge(data.length);
        const file = { user: owner(user), mode: permissions(mode) };
        const place = paths.target(path);
        await using replacement = await Replacement.begin(place.real, file.user);
        await replacement.write(data, 0);
        await replacement.commit(file);
        return { info: await look(place) };
      }),

    beginUpload: ({ path, mode, user }) =>
      atPath(path, async () => {
        const file = { user: owner(user), mode: permissions(mode) };
        return { uploadId: await uploads.begin(paths.target(path), file) };
      }),

    async uploadPart({ uploadId, offset, data }) {
      await uploads.write(uploadId, offset, data);
      return {};
    },

    async commitUpload({ uploadId, size }) {
      return { info: await look(await uploads.commit(uploadId, size)) };
    },

    async abortUpload({ uploadId }) {
      await uploads.abort(uploadId);
      return {};
    },

    async *list({ path, depth }) {
      try {
        for await (const entries of listFolder(paths.target(path), depth || 1, users)) {
          yield { entries };
        }
      } catch (error) {
        throw fileFault(error, path);
      }
    },

    stat: ({ path }) => atPath(path, async () => ({ info: await look(paths.entry(path)) })),

    makeDir: ({ path, mode, user }) =>
      atPath(path, async () => {
        const place = paths.target(path);
        await makeFolder(place.real, owner(user), permissions(mode) || FOLDER_MODE);
        return { info: await look(place) };
      }),

    rename: ({ from, to }) =>
      atPath(from, async () => {
        const source = paths.entry(from);
        paths.refuseParentOfReserved(source);
        // Before anything is made for it: the source must be there.
        await lstat(source.real);
        return atPath(to, async () => {
          const destination = paths.entry(to);
          paths.refuseParentOfReserved(destination);
          await makeFolder(dirname(destination.real), owner(""));
          await move(source.real, destination.real);
          return { info: await look(destination) };
        });
      }),

    remove: ({ path, recursive }) =>
      atPath(path, async () => {
        const place = paths.entry(path);
        paths.refuseParentOfReserved(place);
        const isFolder = (await lstat(place.real)).isDirectory();
        if (isFolder && !recursive) await rmdir(place.real);
        else await rm(place.real, { recursive });
        return {};
      }),
  };
}

function permissions(mode: number): number {
  if (mode <= 0o7777) return mode;
  throw new Fault(ErrorReason.INVALID_ARGUMENT, `0o${mode.toString(8)} are no permission bits`, {
    remedy: "Give at most 0o7777.",
    details: { field: "mode" },
  });
}

function tooLarge(size: number): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, `${size} bytes are too many for one call`, {
    remedy: `Upload files of more than ${MOST_WRITTEN} bytes in parts.`,
    details: { field: "data" },
  });
}
