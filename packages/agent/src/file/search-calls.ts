import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import type { FileService, SearchPattern, SearchScope } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import { type FileContext, isFolder } from "./context.js";
import { fileFault } from "./file-fault.js";
import { find } from "./finding.js";
import { replace } from "./replacing.js";
import { SearchRoot } from "./ripgrep.js";
import { search } from "./searching.js";
import { watch } from "./watching.js";

/** Results that are sent when the caller does not say how many. */
const USUAL_LIMIT = 1000;

/** Calls that look for something in many files, or wait for it. */
export function searchCalls(context: FileContext) {
  const { paths, users, table, watcherProgram } = context;
  const open = (path: string) => SearchRoot.open(paths, path, isFolder);
  return {
    async *find({ path, glob, type, limit }) {
      try {
        const place = paths.target(path);
        using folder = paths.openFolder(place);
        const except = paths.reservedBelow(folder);
        const options = { path: place.path, glob, type, limit: limit || USUAL_LIMIT, except };
        yield* find(folder, options, users);
      } catch (error) {
        throw fileFault(error, path);
      }
    },

    async *search({ limit, ...request }, call) {
      const { scope, pattern } = complete(request);
      try {
        using root = open(scope.path);
        const options = { scope, pattern, limit: limit || USUAL_LIMIT };
        yield* search(table, root, options, call.signal);
      } catch (error) {
        throw translate(error, scope.path, call);
      }
    },

    async *replace({ replacement, dryRun, ...request }, call) {
      const { scope, pattern } = complete(request);
      try {
        using root = open(scope.path);
        const options = { scope, pattern, replacement, dryRun };
        yield* replace(table, root, options, context.owner(""), call.signal);
      } catch (error) {
        throw translate(error, scope.path, call);
      }
    },

    async *watch({ path, recursive }, call) {
      try {
        using root = open(path);
        // A file is watched by its name in its folder: programs replace files by renaming.
        const only = root.argument === "./" ? "" : root.argument.slice(2);
        const options = { program: watcherProgram, recursive, only };
        yield* watch(table, root, options, call.signal);
      } catch (error) {
        throw translate(error, path, call);
      }
    },
  } satisfies Partial<ServiceImpl<typeof FileService>>;
}

function complete(request: {
  scope?: SearchScope | undefined;
  pattern?: SearchPattern | undefined;
}) {
  const { scope, pattern } = request;
  if (scope !== undefined && pattern !== undefined) return { scope, pattern };
  throw new Fault(ErrorReason.INVALID_ARGUMENT, "scope or pattern is missing", {
    remedy: "Say where to search, and what for.",
    details: { field: scope === undefined ? "scope" : "pattern" },
  });
}

function translate(error: unknown, path: string, { signal }: HandlerContext): unknown {
  if (!signal.aborted || error instanceof ConnectError) return fileFault(error, path);
  return new ConnectError("the caller has gone", Code.Canceled);
}
