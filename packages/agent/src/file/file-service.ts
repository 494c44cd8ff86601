import { lstatSync, rmdirSync } from "node:fs";
import type { ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import type { FileService } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import { setOwner, setPermissions } from "./attributes.js";
import { FileContext, type FileServiceOptions, isFolder, permissions } from "./context.js";
import { atPath, fileFault } from "./file-fault.js";
import { FOLDER_MODE, makeIn } from "./folders.js";
import { listFolder } from "./listing.js";
import { copy, move } from "./moving.js";
import { isWithin } from "./paths.js";
import { readFile } from "./reading.js";
import { removeTree } from "./removing.js";
import { Replacement } from "./replacement.js";
import { searchCalls } from "./search-calls.js";
import { transferCalls } from "./transfer-calls.js";

/** Largest file that is written in one call. */
const MOST_WRITTEN = 1 << 20;

/** Serves the machine's files. */
export function fileService(options: FileServiceOptions): ServiceImpl<typeof FileService> {
  const context = new FileContext(options);
  return { ...basicCalls(context), ...transferCalls(context), ...searchCalls(context) };
}

function basicCalls(context: FileContext) {
  const { paths, users } = context;
  return {
    async *read({ path, ...range }) {
      try {
        yield* readFile(paths, path, range, users);
      } catch (error) {
        throw fileFault(error, path);
      }
    },

    write: ({ path, data, mode, user }) =>
      atPath(path, async () => {
        if (data.length > MOST_WRITTEN) throw tooLarge(data.length);
        const file = { user: context.owner(user), mode: permissions(mode) };
        const spot = paths.openOrMake(paths.target(path), file.user);
        await using replacement = await Replacement.begin(spot);
        await replacement.write(data, 0);
        await replacement.commit(file);
        return { info: await context.look(spot) };
      }),

    async *list({ path, depth }) {
      try {
        const place = paths.target(path);
        using folder = paths.openFolder(place);
        const except = paths.reservedBelow(folder);
        const wanted = { path: place.path, depth: depth || 1, except };
        for await (const entries of listFolder(folder, wanted, users)) yield { entries };
      } catch (error) {
        throw fileFault(error, path);
      }
    },

    stat: ({ path }) =>
      atPath(path, async () => {
        using spot = paths.open(paths.entry(path));
        return { info: await context.look(spot) };
      }),

    makeDir: ({ path, mode, user }) =>
      atPath(path, async () => {
        const owner = context.owner(user);
        const bits = permissions(mode) || FOLDER_MODE;
        using spot = paths.openOrMake(paths.target(path), owner);
        makeIn(spot.folder, spot.name, owner, bits);
        return { info: await context.look(spot) };
      }),

    rename: ({ from, to }) =>
      atPath(from, async () => {
        const place = paths.entry(from);
        paths.refuseParentOfReserved(place);
        using source = paths.open(place);
        // Before anything is made for it: the source must be there.
        lstatSync(source.file);
        return await atPath(to, async () => {
          const destination = paths.entry(to);
          paths.refuseParentOfReserved(destination);
          using target = paths.openOrMake(destination, context.owner(""));
          await move(source, target);
          return { info: await context.look(target) };
        });
      }),

    copy: ({ from, to }) =>
      atPath(from, async () => {
        const place = paths.entry(from);
        using source = paths.open(place);
        const isReserved = isFolder(source) ? reservedBelow(context, source) : undefined;
        return await atPath(to, async () => {
          const destination = paths.entry(to);
          if (isWithin(destination.real, place.real)) throw intoItself(from);
          using target = paths.openOrMake(destination, context.owner(""));
          await copy(source, target, isReserved);
          return { info: await context.look(target) };
        });
      }),

    remove: ({ path, recursive }) =>
      atPath(path, async () => {
        const place = paths.entry(path);
        paths.refuseParentOfReserved(place);
        using spot = paths.open(place);
        if (isFolder(spot) && !recursive) rmdirSync(spot.file);
        else await removeTree(spot.folder, spot.name);
        return {};
      }),

    setPermissions: ({ path, mode, recursive }) =>
      atPath(path, async () => {
        const bits = permissions(mode);
        using spot = paths.open(paths.target(path));
        await setPermissions(paths, spot, bits, recursive);
        return { info: await context.look(spot) };
      }),

    setOwner: ({ path, user, group, recursive }) =>
      atPath(path, async () => {
        const owner = users.findOwner(user, group);
        using spot = paths.open(paths.target(path));
        await setOwner(paths, spot, owner, recursive);
        return { info: await context.look(spot) };
      }),
  } satisfies Partial<ServiceImpl<typeof FileService>>;
}

function reservedBelow(context: FileContext, source: Parameters<typeof isFolder>[0]) {
  using folder = source.folder.descend(source.name);
  return context.reservedIn(folder);
}

function intoItself(path: string): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, `${path} cannot be copied into itself`, {
    remedy: "Choose another path.",
    details: { path },
  });
}

function tooLarge(size: number): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, `${size} bytes are too many for one call`, {
    remedy: `Upload files of more than ${MOST_WRITTEN} bytes in parts.`,
    details: { field: "data" },
  });
}
