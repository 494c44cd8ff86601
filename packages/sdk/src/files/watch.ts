import { type FileEvent as EventMessage, FileEventType } from "@nullspace/proto/agent";
import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { resumeStream } from "../resume.js";
import type { FileEvent, WatchFilesOptions } from "./options.js";

/**
 * A watch of files: loop over it for what happens, in order. It ends when you
 * leave the loop or {@link close} it, when its signal is aborted, or when the
 * watched folder itself is gone. A slow loop loses nothing silently: events
 * that found no room are told as one `resyncRequired`, and so are those of a
 * time without connection.
 */
export class FileWatch implements AsyncIterable<FileEvent>, AsyncDisposable {
  /** Resolves when the watch has begun: whatever happens afterwards is told. */
  readonly ready: Promise<void>;
  readonly #events: AsyncGenerator<FileEvent, void, undefined>;
  readonly #closed = new AbortController();
  readonly #first: Promise<IteratorResult<FileEvent, void>>;
  #firstTaken = false;
  #onBegun: (() => void) | undefined;

  /** @internal Use {@link Files.watch}. */
  constructor(agent: AgentConnection, path: string, options: WatchFilesOptions) {
    const { signal: outer, requestTimeoutMs, recursive = false } = options;
    const signal = outer ? AbortSignal.any([outer, this.#closed.signal]) : this.#closed.signal;
    const call = { signal, requestTimeoutMs };
    const begun = new Promise<void>((resolve) => {
      this.#onBegun = resolve;
    });
    const { signal: closed } = this.#closed;
    this.#events = eventsOf(agent, { path, recursive }, call, closed, () => this.#onBegun?.());
    this.#first = this.#events.next();
    this.ready = Promise.race([begun, this.#first]).then(() => undefined);
    // Whoever loops is told of a failure as well; one that nobody waits for ends no program.
    this.ready.catch(() => undefined);
  }

  /** What happens, from the moment the watch has begun. */
  async *[Symbol.asyncIterator](): AsyncGenerator<FileEvent, void, undefined> {
    try {
      for (;;) {
        const next = this.#firstTaken ? this.#events.next() : this.#first;
        this.#firstTaken = true;
        const { done, value } = await next;
        if (done === true || value === undefined) return;
        yield value;
      }
    } finally {
      await this.close();
    }
  }

  /** Ends the watch. */
  async close(): Promise<void> {
    this.#closed.abort(new Error("the watch was closed"));
    await this.#first.catch(() => undefined);
    await this.#events.return();
  }

  /** Same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function* eventsOf(
  agent: AgentConnection,
  request: { path: string; recursive: boolean },
  options: CallOptions,
  closed: AbortSignal,
  onBegun: () => void,
): AsyncGenerator<FileEvent, void, undefined> {
  let beginnings = 0;
  const attach = (attemptOptions: CallOptions) => {
    let isFirst = true;
    return mapStream(
      agent.stream(attemptOptions, (attempt) => agent.files.watch(request, attempt)),
      (response) => {
        const begins = isFirst;
        isFirst = false;
        return { ...response, begins };
      },
    );
  };
  try {
    for await (const response of resumeStream(options, attach, () => beginnings > 0)) {
      if (response.begins) {
        onBegun();
        if (beginnings++ > 0) yield { type: "resyncRequired" };
      }
      if (response.resyncRequired) yield { type: "resyncRequired" };
      for (const event of response.events) yield fromEventMessage(event);
    }
  } catch (error) {
    if (!closed.aborted) throw error;
  }
}

async function* mapStream<T, U>(values: AsyncIterable<T>, map: (value: T) => U) {
  for await (const value of values) yield map(value);
}

function fromEventMessage({ type, path, oldPath, isDirectory }: EventMessage): FileEvent {
  switch (type) {
    case FileEventType.CREATED:
      return { type: "created", path, isDirectory };
    case FileEventType.REMOVED:
      return { type: "removed", path, isDirectory };
    case FileEventType.RENAMED:
      return { type: "renamed", path, oldPath, isDirectory };
    case FileEventType.MODIFIED:
    case FileEventType.UNSPECIFIED:
      return { type: "modified", path, isDirectory };
  }
}
