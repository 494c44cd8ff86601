import type { AgentConnection } from "../connection.js";
import { ConflictError, NotFoundError } from "../errors.js";
import type { StdinSource } from "./options.js";

/** Bytes in one message to standard input. */
const CHUNK_BYTES = 256 * 1024;

/**
 * Feeds `source` to a process and closes its standard input. Each piece waits
 * until the process has taken the one before. Ends early, and quietly, when the
 * process ends or stops reading, as a pipe would; when `signal` is aborted, the
 * source is told to stop.
 */
export async function pumpStdin(
  agent: AgentConnection,
  pid: number,
  source: StdinSource,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const chunk of untilAborted(piecesOf(source), signal)) {
      await sendStdin(agent, pid, chunk, { signal });
    }
    await closeStdin(agent, pid, { signal });
  } catch (error) {
    if (signal.aborted || isGone(error)) return;
    throw error;
  }
}

/** Writes to a process's standard input; resolves when the process has been handed all of it. */
export async function sendStdin(
  agent: AgentConnection,
  pid: number,
  data: string | Uint8Array,
  options: { signal?: AbortSignal | undefined; requestTimeoutMs?: number | undefined },
): Promise<void> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  // A process may take its time to read: no deadline unless the caller wants one.
  const rule = { defaultTimeoutMs: 0 };
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const piece = bytes.subarray(at, at + CHUNK_BYTES);
    await agent.unary(
      options,
      (attempt) => agent.processes.sendInput({ pid, data: piece }, attempt),
      rule,
    );
  }
}

/** Closes a process's standard input. */
export async function closeStdin(
  agent: AgentConnection,
  pid: number,
  options: { signal?: AbortSignal | undefined; requestTimeoutMs?: number | undefined },
): Promise<void> {
  await agent.unary(options, (attempt) => agent.processes.closeInput({ pid }, attempt));
}

function isGone(error: unknown): boolean {
  return (
    (error instanceof ConflictError && error.reason === "STDIN_CLOSED") ||
    (error instanceof NotFoundError && error.reason === "PROCESS_NOT_FOUND")
  );
}

function piecesOf(source: StdinSource): AsyncIterator<string | Uint8Array> {
  if (typeof source === "string" || source instanceof Uint8Array) return once(source);
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
  return readerOf(source);
}

async function* once<T>(value: T): AsyncGenerator<T, void, undefined> {
  yield value;
}

/** Not every browser's ReadableStream can be looped over. */
function readerOf<T>(stream: ReadableStream<T>): AsyncIterator<T> {
  const reader = stream.getReader();
  return {
    async next() {
      const { done, value } = await reader.read();
      return done ? { done, value: undefined } : { done, value };
    },
    async return() {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}

/** Loops over `source` but does not wait for a piece any longer once `signal` is aborted. */
async function* untilAborted<T>(
  source: AsyncIterator<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  try {
    for (;;) {
      const next = await nextUnlessAborted(source, signal);
      if (next === undefined || next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not awaited: a generator that waits for a piece would answer only after that piece.
    source.return?.()?.catch(() => undefined);
  }
}

function nextUnlessAborted<T>(
  source: AsyncIterator<T>,
  signal: AbortSignal,
): Promise<IteratorResult<T> | undefined> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return resolve(undefined);
    const stop = () => resolve(undefined);
    signal.addEventListener("abort", stop, { once: true });
    source
      .next()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", stop));
  });
}
