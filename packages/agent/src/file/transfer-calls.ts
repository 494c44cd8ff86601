import type { ServiceImpl } from "@connectrpc/connect";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { BeginUploadRequest, FileService } from "@nullspace/proto/agent";
import { Spot } from "./anchor.js";
import { type FileContext, permissions } from "./context.js";
import { atPath, fileFault } from "./file-fault.js";
import { openBelow } from "./folders.js";
import { joinPath } from "./listing.js";
import { splitBelow } from "./names.js";
import { treeChecksum } from "./tree-entry.js";
import { readTree } from "./tree-reading.js";
import { writeTree } from "./tree-writing.js";
import { checksumMismatch } from "./uploads.js";

/** Calls that carry files into the machine and out of it. */
export function transferCalls(context: FileContext) {
  const { paths, uploads } = context;
  const look = (spot: Spot) => context.look(spot);
  return {
    beginUpload: (request) =>
      atPath(request.path, async () => {
        const { mode, user, modifiedAt, replaceMode, idempotencyKey: key } = request;
        const { checksum, blockChecksum } = request;
        const file = {
          user: context.owner(user),
          mode: permissions(mode),
          replaceMode,
          modifiedAt: modifiedAt && timestampMs(modifiedAt),
        };
        const spot = spotOf(context, request, file.user);
        return { uploadId: await uploads.begin(spot, file, { key, checksum, blockChecksum }) };
      }),

    async uploadPart({ uploadId, offset, data }) {
      await uploads.write(uploadId, offset, data);
      return {};
    },

    getUpload({ uploadId }) {
      const received = uploads
        .received(uploadId)
        .map(({ start, end }) => ({ start: BigInt(start), end: BigInt(end) }));
      return { received };
    },

    async commitUpload({ uploadId, size, ...announced }) {
      return { info: await uploads.commit(uploadId, size, announced, look) };
    },

    async abortUpload({ uploadId }) {
      await uploads.abort(uploadId);
      return {};
    },

    writeTree: ({ path, entries, user, sha256 }) =>
      atPath(path, async () => {
        if (!treeChecksum(entries).equals(sha256)) throw checksumMismatch(path);
        const owner = context.owner(user);
        using folder = paths.openOrMakeFolder(paths.target(path), owner);
        const failures = await writeTree(folder, entries, owner, context.reservedIn(folder));
        return { failures };
      }),

    async *readTree({ path, after, offset }) {
      try {
        using folder = paths.openFolder(paths.target(path));
        const except = paths.reservedBelow(folder);
        yield* readTree(folder, { after, offset: Number(offset), except });
      } catch (error) {
        throw fileFault(error, path);
      }
    },
  } satisfies Partial<ServiceImpl<typeof FileService>>;
}

function spotOf(context: FileContext, { path, below }: BeginUploadRequest, user: FileOwner): Spot {
  const { paths } = context;
  const place = paths.target(path);
  const names = splitBelow(below);
  const name = names.pop();
  if (name === undefined) return paths.openOrMake(place, user);
  using root = paths.openOrMakeFolder(place, user);
  if (context.reservedIn(root)(Buffer.from(below))) paths.admit(place, paths.reserved);
  const folder = openBelow(root, names, user);
  return new Spot(folder, name, joinPath(place.path, Buffer.from(below).toString()));
}

type FileOwner = ReturnType<FileContext["owner"]>;
