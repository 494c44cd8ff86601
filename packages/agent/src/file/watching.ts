import { getSystemErrorName } from "node:util";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import {
  type FileEventSchema,
  FileEventType,
  type WatchResponseSchema,
} from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { ProcessTable } from "../process/process-table.js";
import { runTool } from "../process/tool.js";
import { joinPath } from "./listing.js";
import { rawUnlessText } from "./names.js";
import type { SearchRoot } from "./ripgrep.js";
import { Splitter } from "./splitter.js";

type Response = MessageInitShape<typeof WatchResponseSchema>;
type Event = MessageInitShape<typeof FileEventSchema>;

/** Longer than any path that the kernel tells. */
const MOST_PATH = 1 << 20;

const TYPES: Readonly<Record<string, FileEventType>> = {
  C: FileEventType.CREATED,
  M: FileEventType.MODIFIED,
  D: FileEventType.REMOVED,
  R: FileEventType.RENAMED,
};

/** What is watched. */
export interface WatchOptions {
  /** The compiled `native/file-watcher.c`. */
  program: string;
  /** Folders below, too. */
  recursive: boolean;
  /** Only this file in the folder; everything when empty. */
  only: string;
}

/**
 * Watches a folder and streams what happens: first an empty response once the
 * watch has begun. Ends when the folder itself is gone.
 *
 * @throws Fault WATCH_LIMIT_REACHED.
 */
export async function* watch(
  table: ProcessTable,
  root: Pick<SearchRoot, "path" | "folder" | "except">,
  { program, recursive, only }: WatchOptions,
  signal: AbortSignal,
): AsyncGenerator<Response> {
  const request = {
    command: program,
    args: [recursive ? "1" : "0", only, root.except ?? ""],
    cwd: root.folder.foreignPath,
  };
  const reader = new EventReader(root.path);
  for await (const piece of runTool(table, request, signal)) yield* reader.push(piece);
}

/** Reads the watcher's records, which may be torn anywhere. */
export class EventReader {
  readonly #root: string;
  readonly #splitter = new Splitter(0, MOST_PATH);
  #kind = "";
  #from: Buffer | undefined;

  /** @param root what clients call the folder that is watched. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Takes the next piece of output. */
  push(piece: Buffer): Response[] {
    const responses: Response[] = [];
    let events: Event[] = [];
    const end = (response?: Response) => {
      if (events.length > 0) responses.push({ events });
      events = [];
      if (response !== undefined) responses.push(response);
    };
    for (const field of this.#splitter.push(piece)) {
      if (this.#kind === "") this.#kind = field.toString();
      else if (this.#kind.startsWith("R") && this.#from === undefined) this.#from = field;
      else {
        const [letter = ""] = this.#kind;
        if (letter === "S") end({});
        else if (letter === "O") end({ resyncRequired: true });
        else if (letter === "E") throw watchFailed(this.#root, Number(field.toString()));
        else events.push(this.#event(letter, field));
        this.#kind = "";
        this.#from = undefined;
      }
    }
    end();
    return responses;
  }

  #event(letter: string, path: Buffer): Event {
    const type = TYPES[letter];
    if (type === undefined) throw new Error(`the file watcher said ${JSON.stringify(letter)}`);
    const called = this.#called(path);
    const former = this.#from && this.#called(this.#from);
    return {
      type,
      path: called.text,
      ...(called.raw && { rawPath: called.raw }),
      ...(former && { oldPath: former.text }),
      ...(former?.raw && { rawOldPath: former.raw }),
      isDirectory: this.#kind.endsWith("d"),
    };
  }

  #called(below: Buffer): { text: string; raw: Buffer | undefined } {
    if (below.length === 0) return { text: this.#root, raw: undefined };
    const text = below.toString();
    const isRaw = rawUnlessText(below, text) !== undefined;
    const raw = isRaw ? Buffer.concat([Buffer.from(joinPath(this.#root, "")), below]) : undefined;
    return { text: joinPath(this.#root, text), raw };
  }
}

function watchFailed(path: string, errno: number): Fault {
  const code = getSystemErrorName(-errno);
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new Fault(ErrorReason.FILE_NOT_FOUND, `${path} is gone`, { details: { path } });
  }
  return new Fault(
    ErrorReason.WATCH_LIMIT_REACHED,
    `the kernel watches no more folders (${code})`,
    {
      remedy:
        "Watch less, or raise fs.inotify.max_user_watches and max_user_instances in the machine.",
      details: { path, errno: code },
    },
  );
}
